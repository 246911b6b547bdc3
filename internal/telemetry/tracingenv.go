package telemetry

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// CheckTracing reads the standard variables of OpenTelemetry for traces from an environment. Tracing is on when an
// endpoint is set and OTEL_SDK_DISABLED and OTEL_TRACES_EXPORTER do not switch it off. problems says, by variable,
// what is wrong, and repeats no value: the OpenTelemetry libraries would pass over such a variable and go on
// without it. While tracing is off, none is looked at.
func CheckTracing(environ map[string]string) (on bool, problems map[string]string) {
	get := func(name string) string { return strings.TrimSpace(environ[name]) }
	if get("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return false, nil
	}
	if strings.EqualFold(get("OTEL_SDK_DISABLED"), "true") || get("OTEL_TRACES_EXPORTER") == "none" {
		return false, nil
	}
	problems = map[string]string{}
	for name, check := range tracingVariables {
		v := get(name)
		if v == "" {
			continue
		}
		if why := check(v); why != "" {
			problems[name] = why
		}
	}
	if why := checkSamplerArg(get("OTEL_TRACES_SAMPLER"), get("OTEL_TRACES_SAMPLER_ARG")); why != "" {
		problems["OTEL_TRACES_SAMPLER_ARG"] = why
	}
	for _, prefix := range []string{"OTEL_EXPORTER_OTLP_", "OTEL_EXPORTER_OTLP_TRACES_"} {
		cert, key := prefix+"CLIENT_CERTIFICATE", prefix+"CLIENT_KEY"
		switch {
		case get(cert) == "" && get(key) == "":
		case get(cert) == "" || get(key) == "":
			problems[cert] = "and " + key + " belong together: set both or none"
		default:
			if _, err := tls.LoadX509KeyPair(get(cert), get(key)); err != nil {
				problems[cert] = "and " + key + " name files that are no certificate with its key"
			}
		}
	}
	return true, problems
}

// tracingVariables says for each variable what is wrong with a value, or "".
var tracingVariables = func() map[string]func(string) string {
	all := map[string]func(string) string{
		"OTEL_SDK_DISABLED":        checkBool,
		"OTEL_TRACES_EXPORTER":     oneOf("otlp", "none"),
		"OTEL_RESOURCE_ATTRIBUTES": checkAttributes,
		"OTEL_TRACES_SAMPLER": oneOf("always_on", "always_off", "traceidratio",
			"parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"),
		"OTEL_BSP_SCHEDULE_DELAY":         atLeast(1, "milliseconds"),
		"OTEL_BSP_EXPORT_TIMEOUT":         atLeast(1, "milliseconds"),
		"OTEL_BSP_MAX_QUEUE_SIZE":         atLeast(1, "spans"),
		"OTEL_BSP_MAX_EXPORT_BATCH_SIZE":  atLeast(1, "spans"),
		"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": atLeast(0, "attributes"),
		"OTEL_SPAN_EVENT_COUNT_LIMIT":     atLeast(0, "events"),
		"OTEL_SPAN_LINK_COUNT_LIMIT":      atLeast(0, "links"),
	}
	for suffix, check := range map[string]func(string) string{
		"ENDPOINT":    checkEndpoint,
		"PROTOCOL":    oneOf("http/protobuf", "http/json", "grpc"),
		"HEADERS":     checkHeaders,
		"TIMEOUT":     atLeast(1, "milliseconds"),
		"COMPRESSION": oneOf("gzip", "none"),
		"INSECURE":    checkBool,
		"CERTIFICATE": checkCertificate,
	} {
		all["OTEL_EXPORTER_OTLP_"+suffix] = check
		all["OTEL_EXPORTER_OTLP_TRACES_"+suffix] = check
	}
	return all
}()

func oneOf(words ...string) func(string) string {
	last := len(words) - 1
	why := "must be " + strings.Join(words[:last], ", ") + " or " + words[last]
	return func(v string) string {
		if slices.Contains(words, v) {
			return ""
		}
		return why
	}
}

func checkBool(v string) string { return oneOf("true", "false")(strings.ToLower(v)) }

func atLeast(least int, unit string) func(string) string {
	return func(v string) string {
		if n, err := strconv.Atoi(v); err == nil && n >= least {
			return ""
		}
		return "must be a whole number of " + unit + ", at least " + strconv.Itoa(least)
	}
}

func checkEndpoint(v string) string {
	u, err := url.Parse(v)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		return "must be a URL such as http://collector:4318"
	case u.User != nil:
		return "must hold no user name or password; OTEL_EXPORTER_OTLP_HEADERS may hold a credential"
	case u.RawQuery != "" || u.Fragment != "":
		return "must hold no query and no fragment"
	}
	return ""
}

func checkHeaders(v string) string {
	for pair := range strings.SplitSeq(v, ",") {
		name, value, ok := strings.Cut(pair, "=")
		value, err := url.PathUnescape(value)
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || err != nil || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return "must be a list of name=value, separated by commas, with percent-encoded values"
		}
	}
	return ""
}

func checkAttributes(v string) string {
	for pair := range strings.SplitSeq(v, ",") {
		name, value, ok := strings.Cut(pair, "=")
		if _, err := url.PathUnescape(value); !ok || err != nil || strings.TrimSpace(name) == "" {
			return "must be a list of name=value, separated by commas, with percent-encoded values"
		}
	}
	return ""
}

func checkCertificate(file string) string {
	b, err := os.ReadFile(file)
	if err != nil || !x509.NewCertPool().AppendCertsFromPEM(b) {
		return "must name a file with certificates in PEM form that can be read"
	}
	return ""
}

func checkSamplerArg(sampler, arg string) string {
	if !strings.HasSuffix(strings.ToLower(sampler), "traceidratio") || arg == "" {
		return ""
	}
	// NaN fails both comparisons, and is refused.
	if ratio, err := strconv.ParseFloat(arg, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
		return "must be a number between 0 and 1"
	}
	return ""
}
