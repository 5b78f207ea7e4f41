package pve

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// pvedaemon ends its own connection to pveproxy with the header "Connection: close".
// pveproxy forwards this header to the client by mistake, adds its own "Connection:
// Keep-Alive", and keeps the connection to the client open (seen on Proxmox VE 9.2;
// libpve-http-server-perl, PVE::APIServer::AnyEvent). A client that obeys "close" makes
// a new TLS connection for most requests, which takes longer than most answers. So if
// a successful answer has both, "close" is ignored. After an error the server does
// close the connection.

// dialTLS connects like the default of http.Transport, but the returned connection
// ignores "close" as described above. Connections through a proxy do not use it.
func dialTLS(dialer *net.Dialer, config *tls.Config) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		plain, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		own := config.Clone()
		if own.ServerName == "" {
			own.ServerName, _, _ = net.SplitHostPort(address)
		}
		conn := tls.Client(plain, own)
		ctx, cancel := context.WithTimeoutCause(ctx, handshakeTimeout, errHandshake)
		defer cancel()
		if err := conn.HandshakeContext(ctx); err != nil {
			_ = plain.Close()
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return nil, err
		}
		return &keptConn{Conn: conn}, nil
	}
}

const handshakeTimeout = 10 * time.Second

var errHandshake = fmt.Errorf("no TLS handshake within %v", handshakeTimeout)

// keptConn is a connection with one answer after each request.
type keptConn struct {
	net.Conn
	asked atomic.Bool // the next bytes are the head of an answer
}

func (k *keptConn) Write(p []byte) (int, error) {
	k.asked.Store(true)
	return k.Conn.Write(p)
}

func (k *keptConn) Read(p []byte) (int, error) {
	n, err := k.Conn.Read(p)
	if n > 0 && k.asked.Swap(false) {
		unclose(p[:n])
	}
	return n, err
}

// unclose overwrites "close" with blanks in the head of a successful answer that also
// has Keep-Alive. A head that is not in one piece is left unchanged.
func unclose(answer []byte) {
	end := bytes.Index(answer, []byte("\r\n\r\n"))
	if end < 0 || !bytes.HasPrefix(answer, []byte("HTTP/1.1 200 ")) {
		return
	}
	var closes [][]byte
	keeps := false
	for line := range bytes.SplitSeq(answer[:end], []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if !bytes.EqualFold(name, []byte("Connection")) {
			continue
		}
		for token := range bytes.SplitSeq(value, []byte(",")) {
			switch token = bytes.TrimSpace(token); {
			case bytes.EqualFold(token, []byte("close")):
				closes = append(closes, token)
			case bytes.EqualFold(token, []byte("Keep-Alive")):
				keeps = true
			}
		}
	}
	for _, token := range closes {
		if keeps {
			copy(token, bytes.Repeat([]byte(" "), len(token)))
		}
	}
}
