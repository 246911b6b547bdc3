package redisconn

// Kind is what is wrong with Redis, or with the way to it. The list is closed: a program may switch
// over it and use String as a metric label.
type Kind int

// The kinds. Unknown is the zero: what nobody has classified is reported with the text of its cause,
// and is neither called temporary nor somebody's mistake.
const (
	Unknown Kind = iota
	BadURL
	EmbeddedFailed
	Refused
	Timeout
	UnknownHost
	Unreachable
	Disconnected
	Closed
	PoolExhausted
	AuthRequired
	WrongPassword
	Forbidden
	ReadOnly
	OutOfMemory
	Loading
	PersistenceFailing
	TooManyClients
	Busy
	NoPrimary
	TooFewReplicas
	ClusterServer
	NotACluster
	ClusterDown
	SentinelServer
	NoDatabase
	TLSMismatch
	TLSCertificate
	TLSUnknownCA
	TLSHostName
	TLSClientMissing
	TLSClientRefused
	TLSExpired
	NotRedis
	TooOld
)

// kinds holds for every kind its name, the sentence that says what to do, and whether it is
// expected to pass without anybody doing so.
var kinds = map[Kind]struct {
	name      string
	advice    string
	temporary bool
}{
	Unknown:            {"unknown", "Redis could not be used", false},
	BadURL:             {"bad_url", "cannot be used", false},
	EmbeddedFailed:     {"embedded_failed", "the embedded server did not start", false},
	Refused:            {"refused", "connection refused: start Redis there, or correct the host and port", true},
	Timeout:            {"timeout", "no answer in time: check that Redis is up and not overloaded, and that the host, the port and the firewall let it be reached", true},
	UnknownHost:        {"unknown_host", "the host name cannot be resolved: correct it, or check the DNS", false},
	Unreachable:        {"unreachable", "there is no route to the host: correct the address, or check the network", true},
	Disconnected:       {"disconnected", "the connection was cut: check whether Redis restarted, or whether it speaks TLS on this port (rediss://)", true},
	Closed:             {"closed", "the client has been closed", false},
	PoolExhausted:      {"pool_exhausted", "all connections are in use: raise pool_size, or find what keeps Redis slow", true},
	AuthRequired:       {"auth_required", "Redis asks for a password and the URL has none: write it as redis://:PASSWORD@host, or redis://USER:PASSWORD@host, or name a file with it in REDIS_PASSWORD_FILE", false},
	WrongPassword:      {"wrong_password", "Redis refuses the user name or the password: correct them", false},
	Forbidden:          {"forbidden", "the Redis user may not run a command or use a key that is needed: extend its ACL", false},
	ReadOnly:           {"read_only", "this server is a read-only replica: point the URL at the primary, or use redis-sentinel:// to follow it", true},
	OutOfMemory:        {"out_of_memory", "Redis has reached its maxmemory and refuses writes: raise it, or remove what fills it", true},
	Loading:            {"loading", "Redis is still loading its data: wait until it is done", true},
	PersistenceFailing: {"persistence_failing", "Redis refuses writes because it cannot save to disk: see its log, free disk space", true},
	TooManyClients:     {"too_many_clients", "Redis has reached its maxclients: raise it, or lower pool_size", true},
	Busy:               {"busy", "Redis is held up by a script that does not end: see SLOWLOG and SCRIPT KILL", true},
	NoPrimary:          {"no_primary", "no sentinel names a primary: check the sentinels' addresses and password (?sentinel_password=), the name of the primary, and that one is up", true},
	TooFewReplicas:     {"too_few_replicas", "Redis refuses writes because too few replicas are in sync (min-replicas-to-write): bring them back", true},
	ClusterServer:      {"cluster_server", "this server is a node of a Redis Cluster: use redis-cluster://", false},
	NotACluster:        {"not_a_cluster", "this server is not part of a Redis Cluster: use redis://", false},
	ClusterDown:        {"cluster_down", "the Redis Cluster is down or does not serve all slots: see CLUSTER INFO", true},
	SentinelServer:     {"sentinel_server", "this server is a sentinel: use redis-sentinel://host:26379/NAME/0 with the name of the primary", false},
	NoDatabase:         {"no_database", "Redis has no database of this number: change the one at the end of the URL, or raise databases in redis.conf", false},
	TLSMismatch:        {"tls_mismatch", "one side speaks TLS and the other does not: use rediss:// for a TLS port and redis:// for a plain one", false},
	TLSCertificate:     {"tls_certificate", "the TLS certificates do not fit: give the server's CA as ?ca_file=, its name as ?server_name=, a client certificate as ?cert_file= and ?key_file=", false},
	TLSUnknownCA:       {"tls_unknown_ca", "the TLS certificate of the server is from a CA that is not trusted here: give this CA as ?ca_file=", false},
	TLSHostName:        {"tls_host_name", "the TLS certificate of the server is for another host name: correct the host, or give the name that is in the certificate as ?server_name=", false},
	TLSClientMissing:   {"tls_client_missing", "the server asks for a TLS client certificate: give one as ?cert_file= and ?key_file=", false},
	TLSClientRefused:   {"tls_client_refused", "the server refuses the TLS client certificate: give one that is from its CA as ?cert_file= and ?key_file=", false},
	TLSExpired:         {"tls_expired", "a TLS certificate has expired or is not valid yet: renew it, or correct the clock", false},
	NotRedis:           {"not_redis", "what answers there is not Redis: correct the host and port", false},
	TooOld:             {"too_old", "Redis is too old: 6.2 or newer is needed, or any Valkey", false},
}

// String is a stable snake_case name.
func (k Kind) String() string {
	if info, ok := kinds[k]; ok {
		return info.name
	}
	return kinds[Unknown].name
}

// Temporary tells whether it may pass by itself (a restart, a failover, a full moment), so that
// waiting is better than giving up. The others need somebody to change something.
func (k Kind) Temporary() bool { return kinds[k].temporary }
