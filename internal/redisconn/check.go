package redisconn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Warning is a setting of the server under which cardworker runs but keeps less than it promises.
type Warning struct {
	// Setting is the name in redis.conf, "" when the server does not tell its settings.
	Setting string
	// Advice says what can happen and what to change.
	Advice string
}

func (w Warning) String() string {
	if w.Setting == "" {
		return w.Advice
	}
	return w.Setting + ": " + w.Advice
}

// policySetting is the setting that has Redis delete keys on its own.
const policySetting = "maxmemory-policy"

// Evicts reports that what was accepted is deleted while Redis runs, and not only when it ends.
func (w Warning) Evicts() bool { return w.Setting == policySetting }

// Check asks the server whether it can be used, and says which of its settings risk losing
// operations; see the function Check. The embedded server, which keeps nothing anyway, is only
// pinged.
func (c *Conn) Check(ctx context.Context) ([]Warning, error) {
	if c.Embedded {
		return nil, c.Explain(ctx, c.Client.Ping(ctx).Err())
	}
	if err := c.CheckSentinels(ctx); err != nil {
		return nil, err
	}
	warnings, err := Check(ctx, c.Client)
	return warnings, c.Explain(ctx, err)
}

// Check pings the server, or every master of a cluster, and reads INFO. The error is an *Error:
// among others TooOld below 6.2, ReadOnly for a replica, ClusterServer or SentinelServer when the
// URL has the wrong scheme for what answers. Bound the time with ctx.
//
// Warnings are an evicting maxmemory-policy, an AOF that is off, and a user who may not read INFO;
// they come sorted and without repetition, also together with an error.
func Check(ctx context.Context, client redis.UniversalClient) ([]Warning, error) {
	var (
		mu       sync.Mutex // ForEachMaster asks the nodes at the same time
		warnings []Warning
	)
	nodes, clusterClient := client.(*redis.ClusterClient)
	ask := func(ctx context.Context, node redis.Cmdable) error {
		found, err := checkNode(ctx, node, clusterClient)
		mu.Lock()
		defer mu.Unlock()
		warnings = append(warnings, found...)
		return err
	}

	var err error
	if clusterClient {
		err = nodes.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return ask(ctx, node) })
	} else {
		err = ask(ctx, client)
	}
	slices.SortFunc(warnings, func(a, b Warning) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(warnings), explain(err, "")
}

// checkNode asks one server; inCluster tells that it is asked as a node of a cluster.
func checkNode(ctx context.Context, node redis.Cmdable, inCluster bool) ([]Warning, error) {
	if err := node.Ping(ctx).Err(); err != nil {
		return nil, err
	}
	text, err := node.Info(ctx).Result()
	if err != nil {
		var reply redis.Error
		if kind := classifyReply(err); errors.As(err, &reply) && (kind == Forbidden || kind == Unknown) {
			return []Warning{{"", "INFO is refused to this user, so the version, the role and the persistence of Redis were not checked: allow +info"}}, nil
		}
		return nil, err
	}
	info := parseInfo(text)
	if err := checkServer(info, inCluster); err != nil {
		return nil, err
	}
	return checkSettings(info), nil
}

// checkServer looks for what makes the server unusable.
func checkServer(info map[string]string, inCluster bool) error {
	switch {
	case info["redis_mode"] == "sentinel":
		return &Error{Kind: SentinelServer}
	case tooOld(info["redis_version"]):
		return &Error{Kind: TooOld, detail: fmt.Sprintf("this one is %.20s", info["redis_version"])}
	case !inCluster && info["cluster_enabled"] == "1":
		return &Error{Kind: ClusterServer}
	case info["role"] == "slave":
		return &Error{Kind: ReadOnly}
	default:
		return nil
	}
}

// checkSettings looks for what makes it forget.
func checkSettings(info map[string]string) []Warning {
	var warnings []Warning
	if policy := info["maxmemory_policy"]; policy != "" && policy != "noeviction" {
		warnings = append(warnings, Warning{policySetting, fmt.Sprintf("%.20s deletes accepted operations when memory is short: set noeviction", policy)})
	}
	if info["aof_enabled"] == "0" {
		warnings = append(warnings, Warning{"appendonly", "no loses accepted operations when Redis restarts: set appendonly yes"})
	}
	return warnings
}

// parseInfo reads the "name:value" lines of INFO.
func parseInfo(text string) map[string]string {
	info := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}

// tooOld tells whether version, e.g. "7.0.15", is below 6.2, the first with ZRANGE … BYSCORE, which
// asynq and the operation store use. Valkey reports the Redis version that it is compatible with.
// What cannot be read is given the benefit of the doubt.
func tooOld(version string) bool {
	majorText, rest, _ := strings.Cut(version, ".")
	minorText, _, _ := strings.Cut(rest, ".")
	major, err := strconv.Atoi(majorText)
	if err != nil {
		return false
	}
	minor, err := strconv.Atoi(minorText)
	if err != nil {
		return false
	}
	return major < 6 || major == 6 && minor < 2
}
