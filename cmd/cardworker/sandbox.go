package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/cardworker/cardworker/internal/sandbox"
)

func newSandbox(p program) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Serve a Payblr API to develop against, with faults on demand",
		Long: `Serves a Payblr API, token endpoint included, that keeps its state in memory. What a
card does depends on its number; cardworker sandbox cards lists them. Faults are
scripted, and every call can be read back, under /_sandbox/.

  LOG_FORMAT    json = a line of JSON for each call; else plain lines`,
		Example: `  cardworker sandbox
  curl -s http://127.0.0.1:8089/_sandbox/ledger
  curl -s -X POST http://127.0.0.1:8089/_sandbox/faults -d '{"call":"unblock_pin","do":"status","status":503,"count":2}'`,
		Args: noArgs,
	}
	f := cmd.Flags()
	var cfg sandbox.Config
	f.StringVar(&cfg.Addr, "addr", "127.0.0.1:8089", "where to listen")
	f.StringVar(&cfg.ClientID, "client-id", sandbox.DefaultClientID, "the client that is let in")
	f.StringVar(&cfg.ClientSecret, "client-secret", sandbox.DefaultClientSecret, "its secret, which is none: the sandbox has nothing to protect")
	secretFile := f.String("client-secret-file", "", "read the secret from this file")
	f.StringVar(&cfg.Scope, "scope", sandbox.DefaultScope, "the scope that tokens are asked for")
	f.DurationVar(&cfg.Latency, "latency", 0, "how long each call takes")
	f.DurationVar(&cfg.TokenTTL, "token-ttl", time.Hour, "how long an access token is good for")
	f.Uint64Var(&cfg.Seed, "seed", 0, "decides what is left to chance")
	chaos := f.Float64("chaos", 0, "share of calls that fail at random, 0 to 1")
	quiet := f.Bool("quiet", false, "do not print a line for each call")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := loadSettings(p.environ)
		if err != nil {
			return err
		}
		if *secretFile != "" {
			if f.Changed("client-secret") {
				return usagef("--client-secret and --client-secret-file are both given; give one")
			}
			b, err := readSecret(*secretFile)
			if err != nil {
				return &exit{exitError, fmt.Errorf("--client-secret-file names a file that cannot be used: %w", err)}
			}
			cfg.ClientSecret = string(b)
		}
		say := func(text string) { _, _ = fmt.Fprintln(p.stderr, text) }
		if s.LogFormat == "json" {
			log, err := s.logger(p)
			if err != nil {
				return &exit{exitError, err}
			}
			say = func(text string) { log.Info(strings.TrimSpace(text)) }
		}
		if !*quiet {
			cfg.Log = say
		}
		return runSandbox(cmd.Context(), cfg, *chaos, *secretFile, say)
	}
	cmd.AddCommand(newSandboxCards(p))
	return cmd
}

func runSandbox(ctx context.Context, cfg sandbox.Config, chaos float64, secretFile string, say func(text string)) error {
	box, err := sandbox.New(cfg)
	if err != nil {
		return &exit{exitRefused, err}
	}
	if chaos != 0 {
		if err := box.SetChaos(sandbox.Chaos{Rate: chaos}); err != nil {
			return &exit{exitRefused, fmt.Errorf("--chaos: %w", err)}
		}
	}
	if err := box.Start(ctx); err != nil {
		return &exit{exitError, err}
	}
	say(fmt.Sprintf("sandbox at %s; for a worker in another terminal:\n\n%s", box.URL(), exports(box, cfg, secretFile)))
	<-ctx.Done()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), serverStopTimeout)
	defer cancel()
	return box.Stop(stop)
}

// exports returns the lines that point a worker at the sandbox. A secret that came from a file is not
// repeated.
func exports(box *sandbox.Sandbox, cfg sandbox.Config, secretFile string) string {
	secret := "export PAYBLR_CLIENT_SECRET=" + cfg.ClientSecret
	if secretFile != "" {
		secret = "export PAYBLR_CLIENT_SECRET_FILE=" + secretFile
	}
	return strings.Join([]string{
		"export PAYBLR_BASE_URL=" + box.URL(),
		"export PAYBLR_TOKEN_URL=" + box.TokenURL(),
		"export PAYBLR_CLIENT_ID=" + cfg.ClientID,
		secret,
		"export PAYBLR_SCOPE=" + cfg.Scope,
		"",
	}, "\n")
}

func newSandboxCards(p program) *cobra.Command {
	return &cobra.Command{
		Use: "cards", Short: "List the cards of the sandbox and what they do", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
			_, _ = fmt.Fprintln(w, "PUBLIC TOKENS\tWHAT HAPPENS") // Its errors come with Flush.
			for _, c := range sandbox.MagicCards() {
				_, _ = fmt.Fprintf(w, "%s\t%s\n", c.Range, c.Description)
			}
			return w.Flush()
		},
	}
}
