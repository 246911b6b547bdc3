package redisconn

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"os"
)

// readTLS applies ca_file, cert_file, key_file and server_name. The files are read here, once: a
// wrong path is an error at start, not at the first reconnect.
func (t *target) readTLS(own url.Values, useTLS bool) error {
	files := []string{"ca_file", "cert_file", "key_file", "server_name"}
	if !useTLS {
		for _, name := range files {
			if own.Has(name) {
				return badURL("%s needs TLS: use rediss:// or add tls=true", name)
			}
		}
		return nil
	}
	config := t.options.TLSConfig
	config.MinVersion = tls.VersionTLS12
	if t.mode != single {
		config.ServerName = "" // there are several hosts; the dialer fills in each one's own
	}
	if name := own.Get("server_name"); name != "" {
		config.ServerName = name
	}
	if file := own.Get("ca_file"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return badFile("ca_file", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return badURL("ca_file %s holds no PEM certificate", file)
		}
	}
	certFile, keyFile := own.Get("cert_file"), own.Get("key_file")
	if (certFile == "") != (keyFile == "") {
		return badURL("cert_file and key_file come together")
	}
	if certFile != "" {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return badFile("cert_file and key_file", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return nil
}

// badFile names the option; the error of the os package names the file and never its content.
func badFile(option string, err error) error {
	return &Error{Kind: BadURL, detail: option + " cannot be used: " + err.Error(), Err: err}
}
