help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-12s %s\n", $$1, $$2}'
.DEFAULT_GOAL := help
.PHONY: help dev test test-all lint bench bench-more growth sim studio publishers image ci

dev: ## run everything embedded, with sample agents
	go run ./cmd/runmetrics dev

test: ## all tests that this machine can run
	go test ./...

test-all: ## all tests; what is missing on this machine is a failure
	RUNMETRICS_TEST_ALL=1 go test ./...

lint: ## vet and staticcheck
	go vet ./...
	go tool -modfile=tools/go.mod staticcheck ./...

bench: ## the table of README: committed events/s against a bare read and what one would write by hand, delays, processor time, memory, after kill -9 (under 10 minutes)
	RUNMETRICS_TEST_ALL=1 go test -run '^$$' -bench '^BenchmarkPipeline$$' -benchtime 1x -timeout 30m ./consumer
	RUNMETRICS_TEST_ALL=1 go test -run '^$$' -bench '^BenchmarkProcess$$' -benchtime 1x -timeout 30m ./cmd/runmetrics

bench-more: ## publishing, several streams, replayed events/s, live clients, Dataverse, what those and telemetry cost, answers with a million runs (a quarter of an hour)
	go test -run '^$$' -bench '^BenchmarkPublish$$' -benchtime 1x ./events/publish
	RUNMETRICS_TEST_ALL=1 go test -run '^$$' -bench '^BenchmarkStreams$$' -benchtime 3x -timeout 30m ./consumer
	RUNMETRICS_TEST_ALL=1 go test -run '^$$' -bench '^Benchmark(Telemetry|Dataverse|Replay|Live|Reads)' -benchtime 1x -timeout 30m ./cmd/runmetrics

growth: ## what an event costs as runs, executions and messages grow, and the bytes stored; RUNMETRICS_BENCH_RUNS and others of consumer/growth_*_test.go make it greater (a quarter of an hour)
	RUNMETRICS_BENCH_ROUNDS=$${RUNMETRICS_BENCH_ROUNDS:-3} RUNMETRICS_TEST_ALL=1 go test -run '^$$' -bench '^BenchmarkGrowth' -benchtime 1x -timeout 120m ./consumer

sim: ## random histories with everything that may go wrong, on both stores: make sim RUNS=1000 SEED=1
	RUNMETRICS_TEST_ALL=1 go test ./consumer/simulation -count=1 -v -timeout 24h \
		$(if $(RUNS),-rapid.checks=$(RUNS)) $(if $(SEED),-rapid.seed=$(SEED))

studio: ## a real Next.js application with the files of query/studio, used with Chromium (a minute, 400 MB)
	RUNMETRICS_TEST_ALL=1 RUNMETRICS_TEST_NEXT=1 go test ./cmd/runmetrics -run TestStudio -count=1 -v

publishers: ## publishing with the nats tool, built from its module (two minutes), and with nats-py where Python has it
	RUNMETRICS_TEST_ALL=1 go test ./cmd/runmetrics -run 'TestNATSTool|TestReadmePublishes' -count=1 -v
	python3 -c 'import nats' && RUNMETRICS_TEST_NATSPY=1 go test ./cmd/runmetrics -run TestPython -count=1 -v

image: ## the container image runmetrics, which knows its version
	docker build -t runmetrics --build-arg VERSION="$$(git describe --tags --always --dirty)" \
		--build-arg REVISION="$$(git rev-parse HEAD)" --build-arg COMMIT_TIME="$$(git log -1 --format=%cI)" .

ci: ## what .ci/run does
	.ci/run
