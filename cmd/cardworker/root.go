package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// version is set when the binary is built; see the Makefile.
var version = "dev"

// program is what a run gets from the system.
type program struct {
	args    []string
	environ []string
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
}

// run runs one command and returns the exit code. Only here errors are printed.
func run(ctx context.Context, p program) int {
	root := newRoot(p)
	root.SetArgs(p.args)
	err := root.ExecuteContext(ctx)
	if text := errorText(err); text != "" {
		_, _ = fmt.Fprintln(p.stderr, "cardworker: "+text) // Nothing is left to tell it to.
	}
	return exitCode(err)
}

func newRoot(p program) *cobra.Command {
	root := &cobra.Command{
		Use:   "cardworker",
		Short: "Unblock card PINs and CVVs, and be sure of it",
		Long: `cardworker has the PIN or CVV of a card unblocked by the Payblr API, reads the status
back, and only then says "unblocked". Requests wait in Redis, workers do them, and
whoever asked reads the answer or waits for it.

New here? Nothing but this program is needed for

  cardworker demo            see it work
  cardworker demo --serve    keep it up and play with it

Then, with a Redis and the API's credentials in the environment,

  cardworker worker                          do the work
  cardworker unblock pin 103169946 --wait    ask for some, and wait for the answer

Exit codes: 0 done (or accepted, without --wait), 1 could not do it, 2 refused or wrong
usage, 3 the operation failed, 4 --timeout ran out and the operation goes on.`,
		Version:       buildVersion(),
		SilenceErrors: true,
		SilenceUsage:  true,
		// Without a command cobra prints the help and succeeds; with a wrong one this refuses.
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("%q is no command; run cardworker --help for the list", safeWord(args[0]))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(
		newDemo(p), newWorker(p), newUnblock(p), newRefresh(p), newOperation(p), newMonitor(p), newSandbox(p), newDoctor(p),
		newBench(p), newHealth(),
	)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	wrapArgs(root)
	return root
}

// wrapArgs makes errors about the arguments of cobra's own commands errors of usage, as those of ours are.
func wrapArgs(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		wrapArgs(sub)
	}
	if !cmd.Runnable() {
		// Cobra looks at the arguments of commands that can run only.
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	check := cmd.Args
	if cmd.Name() == "help" {
		check = knownCommand
	}
	if check == nil {
		return
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		var e *exit
		if err == nil || errors.As(err, &e) {
			return err
		}
		// Cobra's text repeats the arguments.
		return usagef("wrong arguments; run %s --help", cmd.CommandPath())
	}
}

// knownCommand checks the arguments of help, which name a command.
func knownCommand(cmd *cobra.Command, args []string) error {
	if _, rest, err := cmd.Root().Find(args); err != nil || len(rest) > 0 {
		return usagef("there is no such command; run cardworker --help for the list")
	}
	return nil
}

func buildVersion() string {
	if version != "dev" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return version
}

// isTerminal reports whether w is a terminal that a person looks at.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// safeWord returns what was typed as a command or credential, unless it may be something confidential
// in the wrong place.
func safeWord(s string) string {
	if len(s) > 20 {
		return "…"
	}
	for _, c := range s {
		if c >= '0' && c <= '9' {
			return "…"
		}
	}
	return s
}

var errNoArgs = errors.New("no arguments expected")

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%w; run %s --help", errNoArgs, cmd.CommandPath())
	}
	return nil
}
