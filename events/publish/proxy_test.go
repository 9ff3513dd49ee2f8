package publish_test

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy carries connections to a broker, and can cut them.
type proxy struct {
	listener net.Listener
	to       string
	carrying sync.WaitGroup
	deaf     atomic.Bool  // what the broker says is swallowed
	lost     atomic.Int64 // acknowledgements that were swallowed
	stuck    sync.RWMutex // while it is locked nothing passes, and nothing is taken

	mu    sync.Mutex
	ends  map[net.Conn]struct{} // of all connections
	ended bool
}

func startProxy(t testing.TB, b *broker) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{listener: l, to: b.server.Addr().String(), ends: make(map[net.Conn]struct{})}
	p.carrying.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		p.ended = true
		p.mu.Unlock()
		p.cut()
		p.carrying.Wait()
	})
	return p
}

func (p *proxy) url() string { return "nats://" + p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.to)
		if err != nil || !p.keep(client, server) {
			client.Close()
			continue
		}
		p.carrying.Go(func() { p.carry(client, server, nil) })
		p.carrying.Go(func() { p.carry(server, client, &p.deaf) })
	}
}

// keep remembers a connection, unless the proxy has ended.
func (p *proxy) keep(client, server net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		server.Close()
		return false
	}
	p.ends[client], p.ends[server] = struct{}{}, struct{}{}
	return true
}

// cut ends all connections that are there. What is in them is lost.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for end := range p.ends {
		end.Close()
	}
	clear(p.ends)
}

// carry ends with one of the connections, and ends the other.
func (p *proxy) carry(from, to net.Conn, swallowed *atomic.Bool) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if swallowed != nil && swallowed.Load() {
			p.lost.Add(int64(bytes.Count(buffer[:n], []byte(`"seq":`))))
			continue
		}
		p.stuck.RLock()
		_, err = to.Write(buffer[:n])
		p.stuck.RUnlock()
		if err != nil {
			return
		}
	}
}
