package publish_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"github.com/apexsalesai/runmetrics/events/publish"
)

// brokerVariable makes the test binary an agent runtime that publishes there.
const brokerVariable = "RUNMETRICS_TEST_BROKER"

// runtimeMain publishes executions until it is told to stop, and says how many it has published.
func runtimeMain(url string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	conn, err := publish.Connect(url, eager...)
	if err != nil {
		return err
	}
	defer conn.Close()
	p, err := publish.New(publish.Config{Conn: conn})
	if err != nil {
		return err
	}
	accepted := 0
	for ctx.Err() == nil {
		e := execution(accepted)
		if p.Publish(ctx, &e) != nil {
			break
		}
		if accepted++; accepted == 1 {
			fmt.Println("publishing")
		}
	}
	drain, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = p.Close(drain)
	fmt.Println("accepted", accepted)
	return err
}

func TestAProcessThatIsToldToStopLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]bool{"broker up": false, "broker away": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startBroker(t)
			b.createStream(t)
			agent := exec.Command(os.Args[0])
			agent.Env = append(os.Environ(), brokerVariable+"="+b.server.ClientURL())
			agent.Stderr = os.Stderr
			out, err := agent.StdoutPipe()
			must(t, err)
			must(t, agent.Start())
			t.Cleanup(func() { _ = agent.Process.Kill() }) // it may have ended
			said := bufio.NewScanner(out)
			said.Scan()
			until(t, "some are stored", func() bool { return b.messages(t) > 500 })
			if away {
				b.stop()
			}
			must(t, agent.Process.Signal(syscall.SIGTERM))
			if away {
				b.start(t)
			}
			var accepted int
			for said.Scan() {
				if _, err := fmt.Sscanf(said.Text(), "accepted %d", &accepted); err != nil {
					t.Errorf("it said %q", said.Text())
				}
			}
			must(t, agent.Wait())
			l := &load{}
			l.accepted.Store(int64(accepted))
			l.wantAll(t, b)
			t.Logf("%d events until SIGTERM", accepted)
		})
	}
}
