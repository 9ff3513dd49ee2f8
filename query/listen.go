package query

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// CheckListen refuses an address that other machines can reach, unless keys guard it or insecure says that something
// else does. The error names the ways out.
func CheckListen(addr string, hasKeys, insecure bool) error {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return fmt.Errorf("listen address %q: must be host:port", addr)
	}
	if hasKeys || insecure || IsLoopback(addr) {
		return nil
	}
	return fmt.Errorf("listen address %q can be reached from other machines: set API_KEYS_FILE (runmetrics keys new "+
		"makes a key), or give --insecure if something else guards it", addr)
}

// IsLoopback tells whether a listen address, or a Host header, names this machine alone: localhost, 127.x or [::1],
// with or without a port. Other names are not resolved, and no name at all is every interface.
func IsLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(addr, "["), "]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
