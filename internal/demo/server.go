package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"time"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// server is a simulator that listens on the loopback interface.
type server struct {
	sim         *pvesim.Sim
	http        *http.Server
	endpoint    string
	fingerprint string // SHA-256 of its certificate, hexadecimal
}

func serve(sim *pvesim.Sim) (*server, error) {
	certificate, err := selfSigned()
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen on the loopback interface: %w", err)
	}
	sum := sha256.Sum256(certificate.Certificate[0])
	s := &server{
		sim:         sim,
		endpoint:    "https://" + listener.Addr().String(),
		fingerprint: hex.EncodeToString(sum[:]),
		http: &http.Server{
			Handler: sim, ReadHeaderTimeout: 10 * time.Second,
			ErrorLog: log.New(io.Discard, "", 0), // closed connections are normal
			// The real server only supports HTTP/1.1.
			TLSConfig:    &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}},
			TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		},
	}
	go func() { _ = s.http.ServeTLS(listener, "", "") }() // ends with close
	return s, nil
}

// close ends the simulator's tasks first, so that the server can end.
func (s *server) close() {
	s.sim.Close()
	_ = s.http.Close()
}

// selfSigned makes a certificate for this run. A new Proxmox VE has a self-signed one too.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "gpuworker demo"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
