package redisconn

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// EmbeddedURL is the REDIS_URL of the in-process server.
const EmbeddedURL = "embedded"

// mode is how the server is reached.
type mode int

const (
	single mode = iota
	sentinel
	cluster
	embedded
)

// modes are the accepted schemes. The rediss forms speak TLS, as ?tls=true does with the others.
var modes = map[string]struct {
	mode mode
	tls  bool
}{
	"redis":           {single, false},
	"rediss":          {single, true},
	"redis-sentinel":  {sentinel, false},
	"rediss-sentinel": {sentinel, true},
	"redis-cluster":   {cluster, false},
	"rediss-cluster":  {cluster, true},
}

// target is a parsed REDIS_URL.
type target struct {
	mode     mode
	redacted string // the URL without its passwords
	addrs    []string
	primary  string // the sentinels' name of the primary

	// options hold what the URL says of a connection, as go-redis reads it.
	options redis.Options

	sentinelUsername, sentinelPassword string
}

// parse reads a REDIS_URL, whose password may be given beside it. No error contains a part of it that could
// be a password: a password with a raw "/", "?", "#" or "@" makes any part of the text suspect, and so is a
// user name alone.
func parse(raw, password string) (*target, error) {
	if raw == EmbeddedURL {
		return &target{mode: embedded, redacted: raw}, nil
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	m, known := modes[scheme]
	if !ok || !known {
		return nil, badURL("it must be \"embedded\" or begin with redis://, rediss://, redis-sentinel://, rediss-sentinel://, redis-cluster:// or rediss-cluster://")
	}
	// net/url refuses a list of hosts, so the authority is taken apart here.
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	if strings.Contains(tail, "@") {
		return nil, badURL("write special characters of the password percent-encoded (/ as %%2F, ? as %%3F, # as %%23, @ as %%40)")
	}
	userinfo, hosts := "", authority
	if i := strings.LastIndex(authority, "@"); i >= 0 {
		userinfo, hosts = authority[:i+1], authority[i+1:]
	}
	u, err := url.Parse("redis://" + userinfo + "host" + tail)
	if err != nil {
		return nil, badURL("write special characters of the user name and the password percent-encoded (%% as %%25)")
	}
	if u.Fragment != "" {
		return nil, badURL("a # has no meaning in it; in a password write it as %%23")
	}
	switch own, _ := u.User.Password(); {
	case own != "" && password != "":
		return nil, badURL("it has a password, and so has REDIS_PASSWORD_FILE: keep one of them")
	case own == "" && password != "":
		u.User = url.UserPassword(u.User.Username(), password)
	case own == "" && u.User.Username() != "":
		return nil, badURL("it has a user name and no password; a password alone is written redis://:PASSWORD@host, and one in a file is named by REDIS_PASSWORD_FILE")
	}

	t := &target{mode: m.mode}
	if t.addrs, err = splitHosts(hosts, m.mode); err != nil {
		return nil, err
	}
	db, err := t.readPath(u.Path)
	if err != nil {
		return nil, err
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, badURL("its options (after the ?) cannot be read; write special characters percent-encoded")
	}
	if err := t.readQuery(query, m.tls, u.User, db); err != nil {
		return nil, err
	}
	t.redacted = redact(scheme, t.addrs, u, query)
	return t, nil
}

// splitHosts reads "h1:p1,h2,[::1]:p3".
func splitHosts(hosts string, m mode) ([]string, error) {
	port := "6379"
	if m == sentinel {
		port = "26379"
	}
	var addrs []string
	for host := range strings.SplitSeq(hosts, ",") {
		u, err := url.Parse("redis://" + host)
		if err != nil || u.Host != host {
			return nil, badURL("the host cannot be read: write host:port, an IPv6 address in brackets, and special characters of the password percent-encoded")
		}
		name, number := u.Hostname(), port
		if u.Port() != "" {
			number = u.Port()
		}
		if name == "" {
			if m != single || strings.Contains(hosts, ",") {
				return nil, badURL("a host name is missing")
			}
			name = "localhost" // as redis-cli and go-redis do
		}
		if n, err := strconv.Atoi(number); err != nil || n < 1 || n > 65535 {
			return nil, badURL("the port must be between 1 and 65535")
		}
		addrs = append(addrs, net.JoinHostPort(name, number))
	}
	if m == single && len(addrs) > 1 {
		return nil, badURL("redis:// takes one host; several are for redis-sentinel://h1,h2/NAME/0 or redis-cluster://h1,h2")
	}
	return addrs, nil
}

// readPath takes the database number, and before it the sentinels' name of the primary.
func (t *target) readPath(path string) (db int, err error) {
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	if t.mode == sentinel {
		if len(parts) == 0 {
			return 0, badURL("the name of the primary is missing: redis-sentinel://h1:26379,h2:26379/NAME/0")
		}
		t.primary, parts = parts[0], parts[1:]
	}
	if len(parts) > 1 {
		return 0, badURL("its path has too many parts: after the hosts comes the database number, e.g. /0")
	}
	if len(parts) == 1 {
		if db, err = strconv.Atoi(parts[0]); err != nil || db < 0 {
			return 0, badURL("the database after the / must be a number, 0 or more")
		}
	}
	if t.mode == cluster && db != 0 {
		return 0, badURL("a cluster has only database 0")
	}
	return db, nil
}

// readQuery takes our own options and leaves the rest to go-redis.
func (t *target) readQuery(query url.Values, useTLS bool, user *url.Userinfo, db int) error {
	own := url.Values{}
	theirs := url.Values{}
	for name, values := range query {
		if slices.Contains(ownOptions, name) {
			own[name] = values
		} else {
			theirs[name] = values
		}
	}
	if v := own.Get("tls"); v != "" {
		on, err := strconv.ParseBool(v)
		if err != nil {
			return badURL("tls must be true or false")
		}
		useTLS = useTLS || on
	}
	t.sentinelUsername, t.sentinelPassword = own.Get("sentinel_username"), own.Get("sentinel_password")
	if t.mode != sentinel && (own.Has("sentinel_username") || own.Has("sentinel_password")) {
		return badURL("sentinel_username and sentinel_password are for redis-sentinel:// only")
	}
	if theirs.Has("db") && t.mode == cluster {
		return badURL("a cluster has only database 0")
	}

	scheme := "redis"
	if useTLS {
		scheme = "rediss"
	}
	for name := range theirs {
		one := url.URL{Scheme: scheme, Host: t.addrs[0], RawQuery: url.Values{name: theirs[name]}.Encode()}
		if _, err := redis.ParseURL(one.String()); err != nil {
			return badURL("its option %.40q is unknown or has a value that cannot be used", name)
		}
	}
	whole := url.URL{Scheme: scheme, User: user, Host: t.addrs[0], Path: "/" + strconv.Itoa(db), RawQuery: theirs.Encode()}
	options, err := redis.ParseURL(whole.String())
	if err != nil || options.DB < 0 {
		return badURL("its options (after the ?) cannot be used together")
	}
	t.options = *options
	return t.readTLS(own, useTLS)
}

// ownOptions are the query options that go-redis does not know.
var ownOptions = []string{
	"tls", "ca_file", "cert_file", "key_file", "server_name",
	"sentinel_username", "sentinel_password",
}

// redact writes the URL again, the passwords as xxxxx.
func redact(scheme string, addrs []string, u *url.URL, query url.Values) string {
	var b strings.Builder
	b.WriteString(scheme + "://")
	if u.User != nil {
		b.WriteString(url.User(u.User.Username()).String() + ":xxxxx@")
	}
	b.WriteString(strings.Join(addrs, ",") + u.EscapedPath())
	if query.Has("sentinel_password") {
		query.Set("sentinel_password", "xxxxx")
	}
	if len(query) > 0 {
		b.WriteString("?" + query.Encode())
	}
	return b.String()
}

// Redact returns rawURL as Conn.String would show it, and "" when it cannot be read: then it is not
// known which part of it is the password.
func Redact(rawURL string) string {
	t, err := parse(rawURL, "")
	if err != nil {
		return ""
	}
	return t.redacted
}

func badURL(format string, args ...any) error {
	return &Error{Kind: BadURL, detail: fmt.Sprintf(format, args...)}
}
