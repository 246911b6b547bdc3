package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/cardworker/cardworker/internal/demo"
)

func newDemo(p program) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it work: Redis, a Payblr API and a worker in one process",
		Long: `Starts an embedded Redis, a sandbox of the Payblr API and a worker, runs the flows and
shows each as a timeline. Nothing has to be installed or set. With --serve everything
stays up, the console of the queues included, to be played with from a second terminal.`,
		Args: noArgs,
	}
	serve := cmd.Flags().Bool("serve", false, "stay up until Ctrl-C")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := loadSettings(p.environ, partTracing)
		if err != nil {
			return err
		}
		log, err := s.logger(p)
		if err != nil {
			return &exit{exitError, err}
		}
		stopTracing, err := startTracing(cmd.Context(), s, func(text string) { log.Warn(text) })
		if err != nil {
			return err
		}
		defer stopTracing()
		err = demo.Run(cmd.Context(), demo.Config{
			Out: p.stdout, Color: isTerminal(p.stdout) && os.Getenv("NO_COLOR") == "", Width: width(p),
			Serve: *serve, Log: log, Program: programName(),
		})
		if err != nil && cmd.Context().Err() == nil {
			return &exit{exitError, err}
		}
		if *serve && errors.Is(err, cmd.Context().Err()) {
			return nil // Ctrl-C is how a demo that stays up ends.
		}
		return err
	}
	return cmd
}

// width returns the columns of the terminal, or 80.
func width(p program) int {
	if f, ok := p.stdout.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return 80
}

// programName returns what to type to run this program again.
func programName() string {
	if len(os.Args) > 0 && os.Args[0] != "" {
		return os.Args[0]
	}
	return "cardworker"
}
