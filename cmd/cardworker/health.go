package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

const (
	healthTimeout = 5 * time.Second
	maxHealthText = 4 << 10
)

// newHealth is for the health checks of containers, whose image has no shell and no curl.
func newHealth() *cobra.Command {
	return &cobra.Command{
		Use: "health URL", Short: "Succeed when a health endpoint answers 200", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return checkHealth(cmd.Context(), args[0]) },
	}
}

func checkHealth(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return usagef("this is no URL; one looks like http://127.0.0.1:9464/livez")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return &exit{exitError, err}
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxHealthText))
	if closeErr := resp.Body.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return &exit{exitError, err}
	}
	if resp.StatusCode != http.StatusOK {
		return &exit{exitError, fmt.Errorf("%s: %s", resp.Status, text)}
	}
	return nil
}
