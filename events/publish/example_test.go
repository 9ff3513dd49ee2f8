package publish_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/events/publish"
)

// A runtime follows its agents. The handle fills in ids, times, attempts and latencies: what is told again after a crash
// is counted once.
func Example() {
	broker := startExampleBroker()
	defer broker.stop()

	conn, err := publish.Connect(broker.server.ClientURL(), nats.Name("agent runtime"))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	publisher, err := publish.New(publish.Config{Conn: conn})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()

	run, err := publisher.StartRun(ctx, events.Key{CampaignID: "spring launch", RunID: "run.7", Phase: "2-3"}, 1)
	if err != nil {
		log.Fatal(err)
	}
	agent, err := run.StartAgent(ctx, publish.Agent{ID: "writer-1", Name: "Copywriter", Model: "atlas-large"})
	if err != nil {
		log.Fatal(err)
	}
	// … the agent works …
	if err := agent.Finished(ctx, publish.Result{
		Status:          events.Succeeded,
		TokensIn:        5231,
		TokensOut:       812,
		AssetsGenerated: 2,
		Cost:            publish.Dollars(0.0591335),
	}); err != nil {
		log.Print(err)
	}
	if err := run.FinishRun(ctx, events.OutcomeCompleted); err != nil {
		log.Print(err)
	}
	if err := publisher.Close(ctx); err != nil { // waits until the stream has everything
		log.Print(err)
	}

	broker.printStream()
	// Output:
	// runs.spring%20launch.run%2E7 run.started
	// runs.spring%20launch.run%2E7 agent.started writer-1 attempt 1
	// runs.spring%20launch.run%2E7 agent.finished writer-1 attempt 1 succeeded for 0.0591335 dollars
	// runs.spring%20launch.run%2E7 run.finished
}

// A runtime tries an agent again that failed. Both executions cost money, and the last one decides how the agent did.
func ExampleRunHandle_StartAgent() {
	broker := startExampleBroker()
	defer broker.stop()
	publisher := broker.publisher(publish.Config{})
	ctx := context.Background()
	run := publisher.Run(events.Key{CampaignID: "spring launch", RunID: "run.7", Phase: "2-3"}) // started elsewhere

	write := func(attempt int64) error { // what agents do
		if attempt < 2 {
			return errors.New("model provider answered 429")
		}
		return nil
	}
	for {
		agent, err := run.StartAgent(ctx, publish.Agent{ID: "writer-1"})
		if err != nil {
			log.Fatal(err)
		}
		failure := write(agent.Attempt())
		result := publish.Result{Status: events.Succeeded, Cost: publish.Dollars("0.0125")}
		if failure != nil {
			result.Status, result.Error = events.Failed, failure.Error()
		}
		if err := agent.Finished(ctx, result); err != nil {
			log.Fatal(err)
		}
		if failure == nil {
			break
		}
	}
	if err := publisher.Close(ctx); err != nil {
		log.Fatal(err)
	}

	broker.printStream()
	// Output:
	// runs.spring%20launch.run%2E7 agent.started writer-1 attempt 1
	// runs.spring%20launch.run%2E7 agent.finished writer-1 attempt 1 failed for 0.0125 dollars
	// runs.spring%20launch.run%2E7 agent.started writer-1 attempt 2
	// runs.spring%20launch.run%2E7 agent.finished writer-1 attempt 2 succeeded for 0.0125 dollars
}

// A runtime that measures its agents by itself tells of whole executions.
func ExampleRunHandle_AgentFinished() {
	broker := startExampleBroker()
	defer broker.stop()
	publisher := broker.publisher(publish.Config{})
	ctx := context.Background()

	run := publisher.Run(events.Key{CampaignID: "spring launch", RunID: "run.7", Phase: "2-3"})
	execution := publish.Execution{
		Agent:   publish.Agent{ID: "writer-1", Model: "atlas-large", Attempt: 1},
		Result:  publish.Result{Status: events.Succeeded, TokensIn: 5231, TokensOut: 812},
		Latency: 1235 * time.Millisecond,
		EndedAt: time.Date(2026, 2, 14, 14, 47, 8, 0, time.UTC),
	}
	for range 2 { // as after a crash: it is known by its id, and counted once
		if err := run.AgentFinished(ctx, execution); err != nil {
			log.Fatal(err)
		}
	}
	if err := publisher.Close(ctx); err != nil {
		log.Fatal(err)
	}

	broker.printStream()
	// Output:
	// runs.spring%20launch.run%2E7 agent.finished writer-1 attempt 1 succeeded
}

// A runtime that is told to stop waits until the stream has what was published. What it does not get rid of in time is
// given up, and can be kept: `runmetrics publish FILE` takes it later.
func ExamplePublisher_Close() {
	broker := startExampleBroker()
	defer broker.stop()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	publisher := broker.publisher(publish.Config{
		GivenUp: func(m *nats.Msg, err error) { log.Printf("%v: %s", err, m.Data) },
	})
	run, err := publisher.StartRun(ctx, events.Key{CampaignID: "spring launch", RunID: "run.7", Phase: "2-3"}, 0)
	if err != nil {
		log.Fatal(err)
	}
	terminate() // what an orchestrator does
	<-ctx.Done()

	drain, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	if err := run.FinishRun(drain, events.OutcomeCancelled); err != nil {
		log.Print(err)
	}
	if err := publisher.Close(drain); err != nil {
		log.Print(err)
	}

	broker.printStream()
	// Output:
	// runs.spring%20launch.run%2E7 run.started
	// runs.spring%20launch.run%2E7 run.finished
}

// An event of one's own is whatever the contract allows. Every bad field is named before anything is sent.
func ExamplePublisher_Publish() {
	broker := startExampleBroker()
	defer broker.stop()
	publisher := broker.publisher(publish.Config{})
	ctx := context.Background()

	event := events.Event{
		Key:        events.Key{CampaignID: "spring launch", RunID: "run.7", Phase: "2-3"},
		Type:       events.ExecutionsVoided,
		OccurredAt: time.Now(),
		Reason:     "wrong prompt",
	}
	var rejection *events.Rejection
	if err := publisher.Publish(ctx, &event); errors.As(err, &rejection) {
		for _, bad := range rejection.Fields {
			fmt.Println(bad.Field, bad.Problem)
		}
	}
	event.ID, event.Voids = "void-1", []string{"writer-1/1"}
	if err := publisher.Publish(ctx, &event); err != nil {
		log.Fatal(err)
	}
	if err := publisher.Close(ctx); err != nil {
		log.Fatal(err)
	}

	broker.printStream()
	// Output:
	// id is required
	// voids is required and must be an array
	// runs.spring%20launch.run%2E7 executions.voided
}
