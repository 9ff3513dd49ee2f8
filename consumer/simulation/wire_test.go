package simulation

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// wire is the network between one process and the broker: nats.go dials through it. It can stand still and be cut, at
// once or at a certain request.
type wire struct {
	dial func() (net.Conn, error)

	mu     sync.Mutex
	cables []*cable
	still  bool
	dead   bool
	traps  []trap
}

// trap waits for bytes that the process sends.
type trap struct {
	request []byte
	arrives bool // the broker gets the request, and only the answer is lost
}

var errCut = errors.New("the wire is cut")

// InProcessConn makes a connection. While the wire stands still it fails: the client would wait with its lock in hand,
// and time stands still for whoever waits for a lock.
func (w *wire) InProcessConn() (net.Conn, error) {
	w.mu.Lock()
	refuses := w.dead || w.still
	w.mu.Unlock()
	if refuses {
		return nil, errCut
	}
	conn, err := w.dial()
	if err != nil {
		return nil, err
	}
	c := &cable{Conn: conn, wire: w, in: newPipe(), out: newPipe()}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cables = append(w.cables, c)
	go c.receive()
	go c.send()
	return c, nil
}

// pause lets nothing through in either direction until resume. As with sockets, what is sent meanwhile is not refused.
func (w *wire) pause() { w.hold(true) }

func (w *wire) resume() { w.hold(false) }

func (w *wire) hold(still bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.still = still
	for _, c := range w.cables {
		c.in.hold(still)
		c.out.hold(still)
	}
}

// cut ends all connections. What is on its way is lost.
func (w *wire) cut() {
	w.mu.Lock()
	cables := w.cables
	w.cables = nil
	w.mu.Unlock()
	for _, c := range cables {
		c.cut()
	}
}

// die cuts and lets no new connection through.
func (w *wire) die() {
	w.mu.Lock()
	w.dead = true
	w.mu.Unlock()
	w.cut()
}

// heal takes all traps away.
func (w *wire) heal() {
	w.mu.Lock()
	w.traps = nil
	w.mu.Unlock()
	w.resume()
}

// set cuts the wire at the next request that holds these bytes, before or after the broker gets it.
func (w *wire) set(request string, arrives bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.traps = append(w.traps, trap{[]byte(request), arrives})
}

func (w *wire) stands() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.still
}

func (w *wire) trapped() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.traps) > 0
}

// inspect looks at what the process sends. The second result tells whether the wire is cut behind it.
func (w *wire) inspect(p []byte) (through []byte, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, t := range w.traps {
		if !bytes.Contains(p, t.request) {
			continue
		}
		w.traps = append(w.traps[:i:i], w.traps[i+1:]...)
		if !t.arrives {
			return nil, true
		}
		return p, true
	}
	return p, false
}

// cable is one connection through the wire. It buffers as sockets do: writing to it never blocks, so nobody waits for it
// with a lock in hand.
type cable struct {
	net.Conn // to the broker
	wire     *wire
	in, out  *pipe
}

// receive takes in what the broker sends.
func (c *cable) receive() {
	defer c.cut()
	buffer := make([]byte, 64<<10)
	for {
		n, err := c.Conn.Read(buffer)
		if err != nil {
			return
		}
		if _, err := c.in.write(buffer[:n]); err != nil {
			return
		}
	}
}

// send gives the broker what the process sent.
func (c *cable) send() {
	defer c.cut()
	buffer := make([]byte, 64<<10)
	for {
		n, err := c.out.read(buffer)
		if err != nil {
			return
		}
		through, cut := c.wire.inspect(buffer[:n])
		if _, err := c.Conn.Write(through); err != nil || cut {
			return
		}
	}
}

func (c *cable) cut() {
	c.in.close()
	c.out.close()
	_ = c.Conn.Close() // its other end may be closed
}

// Read returns what came from the broker.
func (c *cable) Read(p []byte) (int, error) { return c.in.read(p) }

// Write takes what goes to the broker.
func (c *cable) Write(p []byte) (int, error) { return c.out.write(p) }

// Close ends the connection.
func (c *cable) Close() error {
	c.cut()
	return nil
}

// SetDeadline bounds the next read: the client does so while it connects.
func (c *cable) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline bounds the next read.
func (c *cable) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(t)
	return nil
}

// SetWriteDeadline does nothing: writes do not block.
func (c *cable) SetWriteDeadline(time.Time) error { return nil }

// pipe is an unbounded buffer between a writer and a reader.
type pipe struct {
	mu       sync.Mutex
	data     []byte
	closed   bool
	still    bool // nothing comes out
	deadline time.Time
	changed  chan struct{}
}

func newPipe() *pipe { return &pipe{changed: make(chan struct{}, 1)} }

func (p *pipe) signal() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

func (p *pipe) write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, io.ErrClosedPipe
	}
	p.data = append(p.data, b...)
	p.signal()
	return len(b), nil
}

// read takes some bytes, waiting for the first. What was written before the end is lost with it, as a cut loses it.
func (p *pipe) read(b []byte) (int, error) {
	for {
		p.mu.Lock()
		n, closed, deadline := 0, p.closed, p.deadline
		if !closed && !p.still {
			n = copy(b, p.data)
			p.data = p.data[n:]
		}
		p.mu.Unlock()
		if closed {
			p.signal() // for whoever comes next
			return 0, io.EOF
		}
		if n > 0 {
			return n, nil
		}
		var expired <-chan time.Time
		if !deadline.IsZero() {
			expired = time.After(time.Until(deadline))
		}
		select {
		case <-p.changed:
		case <-expired:
			return 0, os.ErrDeadlineExceeded
		}
	}
}

func (p *pipe) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.signal()
}

func (p *pipe) hold(still bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.still = still
	p.signal()
}

func (p *pipe) setDeadline(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = t
	p.signal()
}
