// Package timeline holds readers to what they promise of streams that lose messages or turn into other streams. Its tests
// run in virtual time, hours of which pass in a moment. They have a directory of their own, because clocks of both kinds
// do not go into one binary: nats.go keeps timers in a pool.
package timeline

import (
	"os"
	"testing"

	"github.com/nats-io/nats-server/v2/server/ats"
)

func TestMain(m *testing.M) {
	ats.Register() // the server's clock is of the whole process: it must not begin in virtual time
	os.Exit(m.Run())
}
