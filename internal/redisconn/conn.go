// Package redisconn opens the Redis that REDIS_URL names, one server, a sentinel group, a cluster
// or the embedded one, with settings fit for a person who waits, and says in one sentence what is
// wrong when it does not answer.
//
// Open parses and validates, without any network traffic. Check asks the server whether it can be
// used. Explain turns an error of go-redis or of the network into an *Error with a Kind.
package redisconn

import (
	"errors"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Conn is a Redis to which any number of clients can be opened. Its methods are safe for concurrent
// use.
type Conn struct {
	// Client is the first client, shared by everybody who has no reason for an own one.
	Client redis.UniversalClient

	// Embedded tells that the server lives in this process and forgets everything with it.
	Embedded bool

	target  *target
	options Options
	server  *embeddedServer

	mu      sync.Mutex
	clients []redis.UniversalClient
	closed  bool
}

// Open reads rawURL and prepares the clients. It does not dial: an unreachable server shows up in
// Check or in the first command. An error is an *Error with Kind BadURL (EmbeddedFailed when the
// embedded server cannot listen) and repeats no password.
//
// The forms of rawURL, each with ?option=value&… after it:
//
//	redis://[user:password@]host[:6379][/db]
//	redis-sentinel://[user:password@]h1[:26379],h2[:26379]/NAME[/db]   user and password are those of Redis;
//	                                                                   those of the sentinels themselves are
//	                                                                   ?sentinel_username= and ?sentinel_password=
//	redis-cluster://[user:password@]h1[:6379],h2[:6379]                user and password hold for every node
//	embedded
//
// rediss://, rediss-sentinel:// and rediss-cluster://, or ?tls=true, speak TLS, to sentinels too;
// then ca_file, cert_file with key_file, and server_name are understood. The options of
// redis.ParseURL (pool_size, read_timeout …) work in all forms.
func Open(rawURL string, o Options) (*Conn, error) {
	t, err := parse(rawURL, o.Password)
	if err != nil {
		return nil, err
	}
	c := &Conn{Embedded: t.mode == embedded, target: t, options: o}
	if c.Embedded {
		if c.server, err = startEmbedded(o.EmbeddedAddr); err != nil {
			return nil, err
		}
		t.addrs = []string{c.server.addr()}
		t.options.Addr = c.server.addr()
	}
	c.Client = c.New("")
	return c, nil
}

// New returns another client of the same server with connections of its own, named after its role in
// CLIENT LIST. A role that adds hooks, or that may fill its pool, must not share one with the rest.
// Close closes it if the caller has not.
func (c *Conn) New(role string) redis.UniversalClient {
	options := c.target.options
	c.options.apply(&options)
	if role != "" && options.ClientName != "" {
		options.ClientName += "-" + role
	}
	if options.TLSConfig != nil {
		options.TLSConfig = options.TLSConfig.Clone()
	}

	var client redis.UniversalClient
	switch c.target.mode {
	case sentinel:
		client = redis.NewFailoverClient(c.target.failover(&options))
	case cluster:
		client = redis.NewClusterClient(c.target.cluster(&options))
	default:
		client = redis.NewClient(&options)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = client.Close() // every command of it answers redis.ErrClosed
	}
	c.clients = append(c.clients, client)
	return client
}

// Close closes every client of New and stops the embedded server. Closing again does nothing.
func (c *Conn) Close() error {
	c.mu.Lock()
	clients := c.clients
	c.clients, c.closed = nil, true
	c.mu.Unlock()

	var errs []error
	for _, client := range clients {
		if err := client.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if c.server != nil {
		c.server.stop()
	}
	return errors.Join(errs...)
}

// String is the URL with its passwords as xxxxx, fit for a log.
func (c *Conn) String() string { return c.target.redacted }

// EmbeddedURL is the URL at which other processes of this machine reach the embedded server, and ""
// for any other.
func (c *Conn) EmbeddedURL() string {
	if !c.Embedded {
		return ""
	}
	return "redis://" + c.target.options.Addr + "/0"
}

// failover carries the settings of a plain client over to one that follows the primary.
func (t *target) failover(o *redis.Options) *redis.FailoverOptions {
	return &redis.FailoverOptions{
		MasterName:       t.primary,
		SentinelAddrs:    t.addrs,
		SentinelUsername: t.sentinelUsername,
		SentinelPassword: t.sentinelPassword,

		ClientName:            o.ClientName,
		Protocol:              o.Protocol,
		Username:              o.Username,
		Password:              o.Password,
		DB:                    o.DB,
		MaxRetries:            o.MaxRetries,
		MinRetryBackoff:       o.MinRetryBackoff,
		MaxRetryBackoff:       o.MaxRetryBackoff,
		DialTimeout:           o.DialTimeout,
		DialerRetries:         o.DialerRetries,
		ReadTimeout:           o.ReadTimeout,
		WriteTimeout:          o.WriteTimeout,
		ContextTimeoutEnabled: o.ContextTimeoutEnabled,

		PipelineReadBufferSize:  o.PipelineReadBufferSize,
		PipelineWriteBufferSize: o.PipelineWriteBufferSize,
		PipelinePoolSize:        o.PipelinePoolSize,

		PoolFIFO:              o.PoolFIFO,
		PoolSize:              o.PoolSize,
		PoolTimeout:           o.PoolTimeout,
		MaxConcurrentDials:    o.MaxConcurrentDials,
		MinIdleConns:          o.MinIdleConns,
		MaxIdleConns:          o.MaxIdleConns,
		MaxActiveConns:        o.MaxActiveConns,
		ConnMaxIdleTime:       o.ConnMaxIdleTime,
		ConnMaxLifetime:       o.ConnMaxLifetime,
		ConnMaxLifetimeJitter: o.ConnMaxLifetimeJitter,
		TLSConfig:             o.TLSConfig,
		DisableIdentity:       o.DisableIdentity,
	}
}

// cluster does the same for a cluster client. Its retries are its redirects: it repeats a command
// on the node that it then thinks is the right one.
func (t *target) cluster(o *redis.Options) *redis.ClusterOptions {
	return &redis.ClusterOptions{
		Addrs:        t.addrs,
		MaxRedirects: o.MaxRetries,

		ClientName:            o.ClientName,
		Protocol:              o.Protocol,
		Username:              o.Username,
		Password:              o.Password,
		MinRetryBackoff:       o.MinRetryBackoff,
		MaxRetryBackoff:       o.MaxRetryBackoff,
		DialTimeout:           o.DialTimeout,
		DialerRetries:         o.DialerRetries,
		ReadTimeout:           o.ReadTimeout,
		WriteTimeout:          o.WriteTimeout,
		ContextTimeoutEnabled: o.ContextTimeoutEnabled,

		PipelineReadBufferSize:  o.PipelineReadBufferSize,
		PipelineWriteBufferSize: o.PipelineWriteBufferSize,
		PipelinePoolSize:        o.PipelinePoolSize,

		PoolFIFO:              o.PoolFIFO,
		PoolSize:              o.PoolSize,
		PoolTimeout:           o.PoolTimeout,
		MaxConcurrentDials:    o.MaxConcurrentDials,
		MinIdleConns:          o.MinIdleConns,
		MaxIdleConns:          o.MaxIdleConns,
		MaxActiveConns:        o.MaxActiveConns,
		ConnMaxIdleTime:       o.ConnMaxIdleTime,
		ConnMaxLifetime:       o.ConnMaxLifetime,
		ConnMaxLifetimeJitter: o.ConnMaxLifetimeJitter,
		TLSConfig:             o.TLSConfig,
		DisableIdentity:       o.DisableIdentity,

		MaintNotificationsConfig: o.MaintNotificationsConfig,
	}
}
