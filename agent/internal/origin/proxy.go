package origin

import (
	"errors"
	"net/http"
	"net/url"

	"enjambre/core"
)

// A Proxy says how requests leave the computer. The zero Proxy is none.
type Proxy struct {
	system bool
	url    *url.URL
}

// ParseProxy reads "none" or "" (no proxy), "system" (as the environment variables HTTPS_PROXY, HTTP_PROXY and
// NO_PROXY say), or the URL of a proxy: http, https or socks5, with user and password if it wants them.
func ParseProxy(text string) (Proxy, error) {
	switch text {
	case "", "none":
		return Proxy{}, nil
	case "system":
		return Proxy{system: true}, nil
	}
	parsed, err := url.Parse(text)
	if err == nil && parsed.Hostname() != "" && (parsed.Path == "" || parsed.Path == "/") {
		switch parsed.Scheme {
		case "http", "https", "socks5":
			return Proxy{url: parsed}, nil
		}
	}
	return Proxy{}, core.Refuse(core.ClassField,
		"use none, system, or an address such as http://proxy.example.net:3128")
}

// choose returns what a transport asks for each request.
func (p Proxy) choose() func(*http.Request) (*url.URL, error) {
	switch {
	case p.system:
		return withoutPassword(http.ProxyFromEnvironment)
	case p.url != nil:
		return http.ProxyURL(p.url)
	}
	return nil
}

// errEnvironment hides what the environment says: the error of net/http repeats it, and a password may be in it.
var errEnvironment = errors.New("HTTPS_PROXY or HTTP_PROXY is not the address of a proxy; correct it, or set proxy to none")

func withoutPassword(choose func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(request *http.Request) (*url.URL, error) {
		chosen, err := choose(request)
		if err != nil {
			return nil, errEnvironment
		}
		return chosen, nil
	}
}
