package worker

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sirupsen/logrus"

	"github.com/cardworker/cardworker/enqueue"
	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/payblr"
)

// BenchmarkScale accepts unblocks and drains them, and says where the time goes: in the process, in Redis as a
// whole, and in the busiest node of a cluster, each in microseconds for one operation. From that follows what
// one Redis carries, and how many more a cluster does; docs/PERFORMANCE.md says how.
func BenchmarkScale(b *testing.B) {
	b.Run("server", func(b *testing.B) { scale(b, redistest.Start(b).URL()) })
	b.Run("cluster of 3", func(b *testing.B) { scale(b, redistest.StartCluster(b, 3).URL()) })
}

// openAPI is an API that costs nothing, and tells when an operation is read back.
type openAPI struct {
	reads atomic.Int64
	last  int64
	done  chan struct{}
}

func (a *openAPI) PINStatus(context.Context, string) (payblr.Status, error) {
	if a.reads.Add(1) == a.last {
		close(a.done)
	}
	return says(payblr.StatusUnblocked), nil
}

func (a *openAPI) CVVStatus(ctx context.Context, token string) (payblr.Status, error) {
	return a.PINStatus(ctx, token)
}
func (a *openAPI) UnblockPIN(context.Context, string, payblr.Note) error { return nil }
func (a *openAPI) UnblockCVV(context.Context, string, payblr.Note) error { return nil }
func (a *openAPI) CheckToken(context.Context) error                      { return nil }

func scale(b *testing.B, url string) {
	conn := connect(b, url)
	client, err := enqueue.New(conn.Client, enqueue.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	api := &openAPI{last: int64(b.N), done: make(chan struct{})}
	log := logrus.New()
	log.SetOutput(io.Discard)
	log.SetFormatter(&logrus.JSONFormatter{})

	b.ResetTimer()
	accept := measure(b, conn.Client)
	var producers sync.WaitGroup
	const parallel = 64
	for p := range parallel {
		producers.Go(func() {
			for i := p; i < b.N; i += parallel {
				if _, err := client.UnblockPIN(b.Context(), fmt.Sprintf("1%08d", i)); err != nil {
					b.Errorf("accept: %v", err)
					return
				}
			}
		})
	}
	producers.Wait()
	accept.report("accept")

	w, err := New(Config{Connect: connect(b, url).New, API: api, Log: log})
	if err != nil {
		b.Fatal(err)
	}
	defer stop(b, w)
	drain := measure(b, conn.Client)
	if err := w.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	receive(b, "everything is confirmed", api.done)
	drain.report("drain")
}

// measured is what was spent until some moment, in seconds.
type measured struct {
	b     *testing.B
	rdb   redis.UniversalClient
	at    time.Time
	self  float64
	nodes map[string]float64
}

func measure(b *testing.B, rdb redis.UniversalClient) measured {
	b.Helper()
	m := measured{b: b, rdb: rdb, nodes: map[string]float64{}}
	var mu sync.Mutex
	read := func(ctx context.Context, node *redis.Client) error {
		info, err := node.InfoMap(ctx, "cpu").Result()
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for field, v := range info["CPU"] {
			if field != "used_cpu_user" && field != "used_cpu_sys" {
				continue
			}
			f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			if err != nil {
				return err
			}
			m.nodes[node.Options().Addr] += f
		}
		return nil
	}
	var err error
	switch rdb := rdb.(type) {
	case *redis.ClusterClient:
		err = rdb.ForEachMaster(b.Context(), read)
	case *redis.Client:
		err = read(b.Context(), rdb)
	}
	if err != nil {
		b.Fatal(err)
	}
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		b.Fatal(err)
	}
	m.self = time.Duration(self.Utime.Nano() + self.Stime.Nano()).Seconds()
	m.at = time.Now()
	return m
}

// report says what was spent since, for each operation.
func (m measured) report(step string) {
	m.b.Helper()
	took := time.Since(m.at)
	now := measure(m.b, m.rdb)
	perOp := func(seconds float64) float64 { return seconds * 1e6 / float64(m.b.N) }
	all, busiest := 0.0, 0.0
	for addr, spent := range now.nodes {
		all += spent - m.nodes[addr]
		busiest = max(busiest, spent-m.nodes[addr])
	}
	m.b.ReportMetric(float64(m.b.N)/took.Seconds(), step+"/s")
	m.b.ReportMetric(perOp(all), step+"-redis-µs")
	m.b.ReportMetric(perOp(busiest), step+"-busiest-µs")
	m.b.ReportMetric(perOp(now.self-m.self), step+"-own-µs")
}
