package faults

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/rs/zerolog/log"
)

// proxy is a network in front of Redis that can be spoiled. A nil proxy is never asked.
type proxy struct {
	*toxiproxy.Proxy
}

// silence takes the voice of the toxics that do not use the server's logger.
var silence = sync.OnceFunc(func() { log.Logger = zerolog.Nop() })

func startProxy(t testing.TB, upstream string) *proxy {
	t.Helper()
	silence()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := toxiproxy.NewProxy(server, "redis", "127.0.0.1:0", upstream)
	if err := p.Start(); err != nil {
		t.Fatalf("start the proxy: %v", err)
	}
	t.Cleanup(p.Stop)
	return &proxy{p}
}

// spoil adds a toxic in toxiproxy's words. The direction is "downstream" for replies.
func (p *proxy) spoil(t testing.TB, kind, direction string, attributes map[string]int64) {
	t.Helper()
	b, err := json.Marshal(map[string]any{"type": kind, "stream": direction, "attributes": attributes})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Toxics.AddToxicJson(strings.NewReader(string(b))); err != nil {
		t.Errorf("spoil the network (%s): %v", kind, err)
	}
}

// heal takes all toxics away.
func (p *proxy) heal(ctx context.Context) { p.Toxics.ResetToxics(ctx) }
