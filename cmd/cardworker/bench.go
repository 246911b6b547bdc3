package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cardworker/cardworker/internal/bench"
	"github.com/cardworker/cardworker/worker"
)

func newBench(p program) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure this program against stock asynq, side by side",
		Long: `Measures this program against stock asynq side by side: the same Redis, the same stub of
the API, the same work, which is an unblock, its confirmation and a result that can be
read. It starts redis-server processes of its own on free ports, so redis-server has to
be installed; nothing else is needed, and nothing that runs is touched.

The measures are ` + strings.Join(bench.Measures(), ", ") + `. Each is taken five times, which
takes about twenty minutes in all; with --quick once and for a moment, in two.
docs/PERFORMANCE.md says what they are.`,
		Example: `  cardworker bench --quick
  cardworker bench --only drain,latency --runs 3
  cardworker bench --out docs`,
		Args: noArgs,
	}
	f := cmd.Flags()
	output := f.StringP("output", "o", "text", "text, or json: all that was measured")
	quick := f.Bool("quick", false, "take each measure once and for a moment only")
	runs := f.Uint64("runs", 0, "how often each measure is taken (default 5, with --quick 1)")
	only := f.StringSlice("only", nil, "take these measures only")
	out := f.String("out", "", "write PERFORMANCE.md, its picture and the raw numbers into this directory")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *output != "text" && *output != "json" {
			return usagef("--output must be text or json")
		}
		if *out != "" && len(*only) > 0 {
			return usagef("--out is for all measures of one run together; leave --only away")
		}
		for _, name := range *only {
			if !bench.Measured(name) {
				return usagef("--only must name some of %s", strings.Join(bench.Measures(), ", "))
			}
		}
		setCollector(p.environ, worker.DefaultConcurrency) // For all systems alike, as the workers that users run.
		self, err := os.Executable()
		if err != nil {
			return &exit{exitError, err}
		}
		report, err := bench.Run(cmd.Context(), bench.Config{
			Runs: int(min(*runs, 1000)), Quick: *quick, Only: *only, Version: buildVersion(), Progress: p.stderr,
			Program: []string{self}, Part: []string{self, "bench", "part"},
		})
		if err != nil {
			if cmd.Context().Err() != nil {
				return cmd.Context().Err()
			}
			return &exit{exitError, err}
		}
		return showBench(p, report, *output, *out)
	}
	cmd.AddCommand(newBenchPart(p))
	return cmd
}

// showBench prints what was measured, and writes it where that was asked for.
func showBench(p program, report *bench.Report, output, dir string) error {
	var err error
	if output == "json" {
		err = json.NewEncoder(p.stdout).Encode(report)
	} else {
		_, err = fmt.Fprint(p.stdout, report.Text())
	}
	if dir != "" {
		err = errors.Join(err, report.Write(dir))
	}
	if err != nil {
		return &exit{exitError, err}
	}
	return nil
}

// newBenchPart returns the command of the processes that bench starts.
func newBenchPart(p program) *cobra.Command {
	return &cobra.Command{
		Use: "part", Hidden: true, Short: "Run a part of the bench, for bench itself",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := bench.RunPart(cmd.Context(), args, p.stdin, p.stdout); err != nil {
				return &exit{exitError, err}
			}
			return nil
		},
	}
}
