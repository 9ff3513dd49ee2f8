package consumer_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// TestADistantServerGetsAllBytesInOrderButLater: what is measured with a distance must neither lose bytes nor be quicker
// than the distance allows.
func TestADistantServerGetsAllBytesInOrderButLater(t *testing.T) {
	const oneWay = 20 * time.Millisecond
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		conn, err := echo.Accept()
		if err != nil {
			return // the test has failed
		}
		defer conn.Close()
		io.Copy(conn, conn)
	}()
	began := time.Now()
	conn, err := net.Dial("tcp", sinktest.StartDelay(t, echo.Addr().String(), oneWay))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sent := make([]byte, 8<<20)
	rand.NewChaCha8([32]byte{}).Read(sent)
	go func() {
		conn.Write(sent)
		conn.(*net.TCPConn).CloseWrite()
	}()
	first := make([]byte, 1)
	if _, err := io.ReadFull(conn, first); err != nil {
		t.Fatal(err)
	}
	// There and back to open the connection, there and back for the byte.
	if took := time.Since(began); took < 4*oneWay {
		t.Errorf("the first byte was back after %v, want at least %v", took, 4*oneWay)
	}
	rest, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if got := append(first, rest...); !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came back, and not all as %d were sent", len(got), len(sent))
	}
}
