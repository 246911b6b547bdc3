package redistest

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	clusterSlots = 16384
	// busOffset is the distance from a node's port to the port of its cluster bus.
	busOffset = 10000
)

// Cluster is a Redis Cluster of masters without replicas.
type Cluster struct {
	// Nodes are the masters; node i holds the i-th share of the slots.
	Nodes []*Server
}

// StartCluster starts n masters (Redis wants at least 3 for failover; 1 is enough for slots), gives
// them all the slots and returns once every node says cluster_state:ok.
func StartCluster(t testing.TB, n int) *Cluster {
	t.Helper()
	if n < 1 {
		t.Fatalf("StartCluster(%d): want at least one node", n)
	}
	c := &Cluster{}
	for range n {
		node, err := start(&Server{}, t.TempDir(), freeClusterPort, []string{
			"--cluster-enabled", "yes",
			"--cluster-node-timeout", "2000",
			"--cluster-announce-ip", "127.0.0.1",
		})
		if err != nil {
			t.Fatalf("start a cluster node: %v", err)
		}
		t.Cleanup(node.Kill)
		c.Nodes = append(c.Nodes, node)
	}
	if err := c.form(); err != nil {
		t.Fatalf("form a Redis Cluster of %d: %v", n, err)
	}
	return c
}

// URL is the REDIS_URL of the cluster, every node a seed.
func (c *Cluster) URL() string { return "redis-cluster://" + strings.Join(c.addrs(), ",") }

// Client returns a cluster client, closed when the test ends.
func (c *Cluster) Client(t testing.TB) redis.UniversalClient {
	t.Helper()
	client := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs:                    c.addrs(),
		ContextTimeoutEnabled:    true,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	closeWithTest(t, client)
	return client
}

func (c *Cluster) addrs() []string {
	addrs := make([]string, len(c.Nodes))
	for i, node := range c.Nodes {
		addrs[i] = node.Addr
	}
	return addrs
}

func (c *Cluster) form() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()

	clients := make([]*redis.Client, len(c.Nodes))
	for i, node := range c.Nodes {
		clients[i] = node.client(0)
		defer func() { _ = clients[i].Close() }()
	}
	for i, client := range clients {
		first, last := i*clusterSlots/len(clients), (i+1)*clusterSlots/len(clients)-1
		if err := client.ClusterAddSlotsRange(ctx, first, last).Err(); err != nil {
			return fmt.Errorf("give slots %d-%d to %s: %w", first, last, c.Nodes[i].Addr, err)
		}
		// Distinct epochs from the start: otherwise the nodes first have to settle a collision.
		if err := client.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(); err != nil {
			return fmt.Errorf("set the epoch of %s: %w", c.Nodes[i].Addr, err)
		}
	}
	for _, node := range c.Nodes[1:] {
		if err := clients[0].ClusterMeet(ctx, "127.0.0.1", strconv.Itoa(node.Port())).Err(); err != nil {
			return fmt.Errorf("introduce %s: %w", node.Addr, err)
		}
	}
	for i, client := range clients {
		err := poll(ctx, func(ctx context.Context) error { return settled(ctx, client, len(clients)) })
		if err != nil {
			return fmt.Errorf("node %s: %w", c.Nodes[i].Addr, err)
		}
	}
	return nil
}

// settled tells whether this node knows all nodes and who serves every slot.
func settled(ctx context.Context, client *redis.Client, nodes int) error {
	info, err := client.ClusterInfo(ctx).Result()
	if err != nil {
		return err
	}
	for _, want := range []string{
		"cluster_state:ok",
		"cluster_slots_ok:" + strconv.Itoa(clusterSlots),
		"cluster_size:" + strconv.Itoa(nodes),
	} {
		if !strings.Contains(info, want+"\r\n") {
			return fmt.Errorf("CLUSTER INFO does not say %s yet:\n%s", want, info)
		}
	}
	return nil
}

// freeClusterPort returns a port that is free together with the port of its cluster bus.
func freeClusterPort() (int, error) {
	const attempts = 100
	for range attempts {
		port, err := freePort()
		if err != nil {
			return 0, err
		}
		bus, err := net.Listen("tcp", addrOf(port+busOffset))
		if err != nil {
			continue
		}
		_ = bus.Close()
		return port, nil
	}
	return 0, fmt.Errorf("no free port with a free cluster bus port in %d attempts", attempts)
}
