package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/cardworker/cardworker/internal/monitor"
)

// serverStopTimeout bounds how long a server lets its answers end.
const serverStopTimeout = 5 * time.Second

func newMonitor(p program) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "monitor",
		Short: "Serve asynqmon, the console of the queues, masked and behind a login",
		Long: `Serves asynqmon with payloads and results masked. It only shows, unless
--allow-actions is given. Without a password it serves this machine alone.

  REDIS_URL               where the work is (redis://127.0.0.1:6379/0)
  REDIS_PASSWORD_FILE     optional: the password of its user, instead of in the URL
  MONITOR_HTTP_ADDR       where to listen (127.0.0.1:8081)
  MONITOR_USER            the name to log in with (admin)
  MONITOR_PASSWORD_FILE   a file with the password; required unless the address is loopback
  LOG_LEVEL, LOG_FORMAT   (info; text on a terminal, else json)`,
		Args: noArgs,
	}
	allow := cmd.Flags().Bool("allow-actions", false, "let operators run, archive, delete and pause as well")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return runMonitor(cmd.Context(), p, *allow) }
	return cmd
}

func runMonitor(ctx context.Context, p program, allowActions bool) (err error) {
	s, err := loadSettings(p.environ, partRedis, partMonitor)
	if err != nil {
		return err
	}
	log, err := s.logger(p)
	if err != nil {
		return &exit{exitError, err}
	}
	conn, err := openRedis(s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	cfg := s.monitorConfig()
	cfg.Redis, cfg.AllowActions, cfg.Log = conn.Client, allowActions, log.WithField("component", "monitor")
	srv, err := monitor.New(cfg)
	if err != nil {
		return &exit{exitError, err}
	}
	if err := checkRedis(ctx, conn, log); err != nil {
		return err
	}
	if err := srv.Start(ctx); err != nil {
		return &exit{exitError, err}
	}
	log.WithField("url", srv.URL()).Info("monitor is served")
	<-ctx.Done()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), serverStopTimeout)
	defer cancel()
	return srv.Stop(stop)
}
