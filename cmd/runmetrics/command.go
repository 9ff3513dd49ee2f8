package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitOK        = 0
	exitFailure   = 1
	exitUsage     = 2 // or configuration
	exitLeftovers = 3 // finished, but something was refused or left over
)

// errLeftovers ends a command that did its work, except for what it has already named.
var errLeftovers = errors.New("finished with leftovers")

// usageError is a fault of the command line.
type usageError struct{ error }

// app is one call of the program: what every subcommand needs of its surroundings.
type app struct {
	args    []string // as they were given
	environ map[string]string
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer

	envFile string
	entered bool // a command began its work: errors before that are of usage
}

// run is the whole program but for the process: it returns the exit code and leaves nothing running.
func run(ctx context.Context, args []string, environ map[string]string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{args: args, environ: environ, stdin: stdin, stdout: stdout, stderr: stderr}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return a.exit(root.ExecuteContext(ctx))
}

// exit says what went wrong, once, and turns it into a code.
func (a *app) exit(err error) int {
	var config *configError
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errLeftovers):
		return exitLeftovers
	}
	fmt.Fprintln(a.stderr, "runmetrics:", err)
	switch {
	case errors.As(err, &config):
		return exitUsage
	case !a.entered, errors.As(err, &usage):
		fmt.Fprintln(a.stderr, "Run `runmetrics --help`, or a command with --help, to see what there is.")
		return exitUsage
	}
	return exitFailure
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "runmetrics",
		Short: "Metrics of agent runs, from NATS JetStream into a database",
		Long: `runmetrics reads the events that agents publish to NATS JetStream, folds them into one
record of metrics for each run, commits it exactly once, and answers queries over HTTP.

Start with "runmetrics dev": everything embedded, with sample agents.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 done but for what was named.

Environment ([_FILE]: also as NAME_FILE, a file that holds the value):
` + environmentHelp(),
		Example: `  runmetrics dev
  NATS_URL=nats://nats:4222 DATABASE_URL_FILE=/run/secrets/database runmetrics setup
  NATS_URL=nats://nats:4222 DATABASE_URL_FILE=/run/secrets/database runmetrics run`,
		Version:           version(),
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetVersionTemplate(buildInfo().String())
	root.PersistentFlags().StringVar(&a.envFile, "env-file", "", "read variables from this `file`; the environment goes before it")
	root.AddCommand(a.dev(), a.service(), a.publish(), a.export(), a.replay(), a.rebuild(),
		a.void(), a.prune(), a.deadLetters(), a.setup(), a.doctor(), a.dataverse(), a.keys(), a.schema(),
		a.dataverseEmulator(), a.healthcheck(), a.version())
	return root
}

// enter makes a function the work of a command.
func (a *app) enter(work func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.entered = true
		return work(cmd.Context(), args)
	}
}

// open reads the configuration and makes the logger.
func (a *app) open(more ...check) (*Config, *slog.Logger, error) {
	cfg, err := loadConfig(a.environ, a.envFile, more...)
	if err != nil {
		return nil, nil, err
	}
	return cfg, newLog(a.stderr, cfg), nil
}

// needsSubcommand is the work of a command that only groups others.
func needsSubcommand(cmd *cobra.Command, _ []string) error {
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	return fmt.Errorf("%s needs one of: %s", cmd.CommandPath(), strings.Join(names, ", "))
}
