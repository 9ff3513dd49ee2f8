package sinktest

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"
)

// maxUnderWay bounds the bytes that a delayed connection holds in each direction; a sender that is further ahead waits, as
// it does for a full window of TCP. In 15 ms it lets 4 GB/s through.
const maxUnderWay = 64 << 20

// StartDelay listens on an address of 127.0.0.1, which it returns, and passes each connection on to the server at address
// as if that were far away: every byte arrives oneWay after it was sent, in both directions. It delays and never
// throttles: as many bytes as the sender likes are under way at once. The first bytes of a client also wait for the round
// trip in which a distant server would have taken the connection. It ends with the test, and so do its connections.
func StartDelay(tb testing.TB, address string, oneWay time.Duration) string {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("delay connections: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	d := &delay{address: address, oneWay: oneWay}
	d.running.Go(func() { d.accept(ctx, listener) })
	tb.Cleanup(func() {
		cancel()
		listener.Close()
		d.running.Wait()
	})
	return listener.Addr().String()
}

// DelayedDSN returns a way to the database that the DSN names, through StartDelay.
func DelayedDSN(tb testing.TB, dsn string, oneWay time.Duration) string {
	tb.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		tb.Fatalf("delay connections: %v", err)
	}
	u.Host = StartDelay(tb, u.Host, oneWay)
	return u.String()
}

type delay struct {
	address string
	oneWay  time.Duration
	running sync.WaitGroup // all that it started
}

func (d *delay) accept(ctx context.Context, listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return // the test has ended
		}
		d.running.Go(func() { d.serve(ctx, client) })
	}
}

// serve passes bytes on until both directions are over or the test is.
func (d *delay) serve(ctx context.Context, client net.Conn) {
	defer client.Close()
	server, err := new(net.Dialer).DialContext(ctx, "tcp", d.address)
	if err != nil {
		return // the client sees its connection close
	}
	defer server.Close()
	defer context.AfterFunc(ctx, func() {
		client.Close()
		server.Close()
	})()
	opened := time.Now().Add(2 * d.oneWay)
	var ways sync.WaitGroup
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		u := &underWay{from: way[0], to: way[1], changed: sync.NewCond(new(sync.Mutex))}
		ways.Go(func() { u.receive(opened, d.oneWay) })
		ways.Go(func() { u.deliver(ctx) })
	}
	ways.Wait()
}

// underWay is what one direction of a connection holds.
type underWay struct {
	from, to net.Conn

	changed *sync.Cond // its lock guards what follows
	pieces  []piece
	bytes   int
	broken  bool // nobody takes what is delivered any more
}

// piece is bytes on their way; one without bytes is the end.
type piece struct {
	data []byte
	due  time.Time
}

// receive takes what the sender sends until it ends. Nothing leaves before the connection is opened.
func (u *underWay) receive(opened time.Time, oneWay time.Duration) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := u.from.Read(buffer)
		left := time.Now()
		if left.Before(opened) {
			left = opened
		}
		if n > 0 && !u.put(piece{bytes.Clone(buffer[:n]), left.Add(oneWay)}) {
			return
		}
		if err != nil {
			u.put(piece{due: left.Add(oneWay)})
			return
		}
	}
}

// put waits for room. It is false where the piece would never arrive.
func (u *underWay) put(p piece) bool {
	u.changed.L.Lock()
	defer u.changed.L.Unlock()
	for u.bytes+len(p.data) > maxUnderWay && !u.broken {
		u.changed.Wait()
	}
	if u.broken {
		return false
	}
	u.pieces = append(u.pieces, p)
	u.bytes += len(p.data)
	u.changed.Broadcast()
	return true
}

func (u *underWay) next() piece {
	u.changed.L.Lock()
	defer u.changed.L.Unlock()
	for len(u.pieces) == 0 {
		u.changed.Wait()
	}
	p := u.pieces[0]
	u.pieces = u.pieces[1:]
	u.bytes -= len(p.data)
	u.changed.Broadcast()
	return p
}

// deliver hands over each piece when it is due, and the end as the end of what is sent. Where nobody takes a piece, the
// sender's side is closed, too.
func (u *underWay) deliver(ctx context.Context) {
	for {
		p := u.next()
		select {
		case <-time.After(time.Until(p.due)):
		case <-ctx.Done():
		}
		if p.data == nil {
			_ = u.to.(*net.TCPConn).CloseWrite() // fails where it was closed already
			return
		}
		if _, err := u.to.Write(p.data); err != nil {
			u.abandon()
			return
		}
	}
}

func (u *underWay) abandon() {
	u.from.Close()
	u.changed.L.Lock()
	defer u.changed.L.Unlock()
	u.broken = true
	u.changed.Broadcast()
}
