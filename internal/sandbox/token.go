package sandbox

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// accessTokens holds every token that was issued, has not expired and was not
// revoked. A token is good because it is here, not because of its signature.
type accessTokens struct {
	mu     sync.RWMutex
	expiry map[string]time.Time
}

// pruneAt is how many tokens are held before expired ones are looked for.
const pruneAt = 1024

func (t *accessTokens) add(token string, now, expiry time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.expiry) >= pruneAt {
		for known, end := range t.expiry {
			if !now.Before(end) {
				delete(t.expiry, known)
			}
		}
	}
	t.expiry[token] = expiry
}

func (t *accessTokens) valid(token string, now time.Time) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	end, ok := t.expiry[token]
	return ok && now.Before(end)
}

// revoke makes every token invalid and returns how many there were.
func (t *accessTokens) revoke() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.expiry)
	clear(t.expiry)
	return n
}

// issueToken answers a token request as Microsoft Entra ID does for client
// credentials: form body, secret in the body (Payblr's "get started"), errors
// with AADSTS codes.
func (s *Sandbox) issueToken(r *http.Request, body []byte) answer {
	var form url.Values
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && kind == "application/x-www-form-urlencoded" {
		// What cannot be parsed counts as absent, which is an error below.
		form, _ = url.ParseQuery(string(body))
	}
	for _, name := range []string{"grant_type", "client_id", "scope"} {
		if form.Get(name) == "" {
			return entraError(http.StatusBadRequest, "invalid_request", 900144,
				"The request body must contain the following parameter: '"+name+"'.")
		}
	}
	if form.Get("grant_type") != "client_credentials" {
		return entraError(http.StatusBadRequest, "unsupported_grant_type", 70003,
			"The app requested an unsupported grant type.")
	}
	if !same(form.Get("client_id"), s.cfg.ClientID) {
		return entraError(http.StatusBadRequest, "unauthorized_client", 700016,
			"Application with that identifier was not found in the directory.")
	}
	secret := form.Get("client_secret")
	if secret == "" {
		return entraError(http.StatusUnauthorized, "invalid_client", 7000218,
			"The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
	}
	if !same(secret, s.cfg.ClientSecret) {
		return entraError(http.StatusUnauthorized, "invalid_client", 7000215,
			"Invalid client secret provided.")
	}
	if !same(form.Get("scope"), s.cfg.Scope) {
		return entraError(http.StatusBadRequest, "invalid_scope", 70011,
			"The provided value for the input parameter 'scope' is not valid.")
	}
	now := s.cfg.Now()
	expiry := now.Add(s.cfg.TokenTTL)
	token := s.newAccessToken(now, expiry)
	s.tokens.add(token, now, expiry)
	seconds := int(s.cfg.TokenTTL / time.Second)
	a := jsonAnswer(http.StatusOK, typeJSON, struct {
		TokenType    string `json:"token_type"`
		ExpiresIn    int    `json:"expires_in"`
		ExtExpiresIn int    `json:"ext_expires_in"`
		AccessToken  string `json:"access_token"`
	}{"Bearer", seconds, seconds, token})
	a.header = http.Header{"Cache-Control": {"no-store, no-cache"}, "Pragma": {"no-cache"}}
	return a
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// newAccessToken has the look of a JWT; its signature is random.
func (s *Sandbox) newAccessToken(now, expiry time.Time) string {
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			panic(fmt.Sprintf("sandbox: access token: %v", err))
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	signature := make([]byte, 64)
	_, _ = rand.Read(signature) // never fails, see crypto/rand
	return part(map[string]string{"typ": "JWT", "alg": "RS256", "kid": "sandbox"}) + "." +
		part(map[string]any{
			"aud": strings.TrimSuffix(s.cfg.Scope, "/.default"), "iss": "https://sts.sandbox.invalid/",
			"iat": now.Unix(), "nbf": now.Unix(), "exp": expiry.Unix(),
			"appid": s.cfg.ClientID, "ver": "2.0", "jti": randomUUID(),
		}) + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// entraError is an error as Microsoft Entra ID sends it.
func entraError(status int, code string, aadsts int, text string) answer {
	trace, correlation := randomUUID(), randomUUID()
	stamp := time.Now().UTC().Format("2006-01-02 15:04:05Z")
	return jsonAnswer(status, typeJSON, struct {
		Error         string `json:"error"`
		Description   string `json:"error_description"`
		Codes         []int  `json:"error_codes"`
		Timestamp     string `json:"timestamp"`
		TraceID       string `json:"trace_id"`
		CorrelationID string `json:"correlation_id"`
		URI           string `json:"error_uri"`
	}{
		code, fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s", aadsts, text, trace, correlation, stamp),
		[]int{aadsts},
		stamp, trace, correlation, fmt.Sprintf("https://login.microsoftonline.com/error?code=%d", aadsts),
	})
}

// authorize returns the gateway's refusal of a request without a good access
// token or subscription key; ok is true when there is none.
func (s *Sandbox) authorize(r *http.Request) (refusal answer, ok bool) {
	if want := s.cfg.SubscriptionKey; want != "" {
		switch got := r.Header.Get("Ocp-Apim-Subscription-Key"); {
		case got == "":
			return gatewayError(http.StatusUnauthorized, "Access denied due to missing subscription key. "+
				"Make sure to include subscription key when making requests to an API."), false
		case !same(got, want):
			return gatewayError(http.StatusUnauthorized, "Access denied due to invalid subscription key. "+
				"Make sure to provide a valid key for an active subscription."), false
		}
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") && s.tokens.valid(token, s.cfg.Now()) {
		return answer{}, true
	}
	a := gatewayError(http.StatusUnauthorized, "Unauthorized. Access token is missing or invalid.")
	a.header = http.Header{"Www-Authenticate": {`Bearer error="invalid_token"`}}
	return a, false
}
