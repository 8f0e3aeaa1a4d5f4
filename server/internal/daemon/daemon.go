// Package daemon is the running server: it listens, answers agents, keeps its logs and tidies up.
package daemon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"enjambre/server/internal/accesslog"
	"enjambre/server/internal/agentapi"
	"enjambre/server/internal/catalog"
	"enjambre/server/internal/datafolder"
	"enjambre/server/internal/delivery"
	"enjambre/server/internal/identity"
	"enjambre/server/internal/ocsapi"
	"enjambre/server/internal/origin"
	"enjambre/server/internal/setting"
	"enjambre/server/internal/store"
)

// Options say how a server runs.
type Options struct {
	Listen     string               // address for HTTPS, such as :8443; port 0 takes a free one
	ListenHTTP string               // address for plain HTTP; "" = none
	Public     string               // host[:port] that agents use; "" = the deployment's first host and the port of Listen
	Passphrase identity.Passphrase  // of the TLS key
	Stderr     io.Writer            // gets a copy of what is logged at Warn and above
	Ready      func(address string) // called once, when everything is served; with https://host:port
}

// Bounds of connections.
const (
	maxConnections = 8192 // of one listener
	maxHeader      = 16 << 10
	headerTimeout  = 5 * time.Second
	idleTimeout    = 2 * time.Minute // stock agents pause for a minute and more between fragments
	stopTimeout    = 10 * time.Second
)

// Run serves until ctx ends, and returns once everything it started has ended.
func Run(ctx context.Context, folder *datafolder.Folder, options Options) (err error) {
	release, err := folder.Lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	logs := openLogs(folder.Path, options.Stderr)
	defer logs.close()
	d := &daemon{
		folder: folder, options: options, logs: logs, handshakes: newHandshakes(logs.errors, time.Now),
	}
	if err := d.prepare(ctx); err != nil {
		return err
	}
	listeners, err := d.listen()
	if err != nil {
		return err
	}
	return d.serve(ctx, listeners)
}

// A daemon is one run.
type daemon struct {
	folder  *datafolder.Folder
	options Options
	logs    *logFiles

	handshakes *handshakes
}

// prepare checks the database, removes what interrupted builds have left, and makes the online key of a folder that
// was made before there was one.
func (d *daemon) prepare(ctx context.Context) error {
	if err := d.folder.Store.Check(ctx); err != nil {
		return err
	}
	made, err := d.folder.Deployment.EnsureOnline(ctx, time.Now())
	if err != nil {
		return err
	}
	if made {
		d.logs.errors.Info("online key made, which signs site tickets and epochs: back it up with the others",
			"file", "keys/online.pem")
	}
	return d.folder.Catalog(d.logs.errors).Sweep(ctx)
}

// A listening is what a run listens on.
type listening struct {
	secure, plain net.Listener // plain may be nil
	where         datafolder.Running
}

// listen opens the ports; when it fails, none is open.
func (d *daemon) listen() (*listening, error) {
	config, err := d.tlsConfig()
	if err != nil {
		return nil, err
	}
	l := &listening{}
	raw, err := listen("--listen", d.options.Listen)
	if err != nil {
		return nil, err
	}
	l.secure = tls.NewListener(origin.Limit(raw, maxConnections), config)
	if d.options.ListenHTTP != "" {
		raw, err := listen("--listen-http", d.options.ListenHTTP)
		if err != nil {
			return nil, errors.Join(err, l.secure.Close())
		}
		l.plain = origin.Limit(raw, maxConnections)
	}
	l.where = datafolder.Running{PID: os.Getpid(), Listen: d.options.Listen, Started: time.Now().UTC()}
	public := d.options.Public
	if public == "" {
		public = d.folder.Deployment.Hosts()[0]
	}
	host, port, err := net.SplitHostPort(public)
	if err != nil {
		host, port = strings.Trim(public, "[]"), portOf(l.secure)
	}
	l.where.HTTPS = net.JoinHostPort(host, port)
	if l.plain != nil {
		l.where.HTTP = net.JoinHostPort(host, portOf(l.plain))
	}
	return l, nil
}

// tlsConfig serves the certificate in service. While stock agents are served, TLS 1.2 is allowed, which
// the older of them need; otherwise 1.3 is demanded. That is looked up at each handshake.
func (d *daemon) tlsConfig() (*tls.Config, error) {
	reloader, warnings, err := identity.NewReloader(
		d.folder.Deployment,
		d.options.Passphrase,
		func(err error) {
			d.logs.errors.Error("the new certificate is not used", "reason", err)
		},
	)
	if err != nil {
		return nil, fmt.Errorf("HTTPS certificate: %w", err)
	}
	for _, warning := range warnings {
		d.logs.errors.Warn("HTTPS certificate", "warning", warning)
	}
	authority, _ := d.folder.Deployment.AgentCA()
	agents := x509.NewCertPool()
	agents.AddCert(authority)
	strict := &tls.Config{
		GetCertificate: reloader.Certificate, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"},
		// Asked for, and judged for each message: stock agents have none, and an expired one may renew itself.
		ClientAuth: tls.RequestClientCert, ClientCAs: agents,
	}
	stock := strict.Clone()
	stock.MinVersion = tls.VersionTLS12
	config := strict.Clone()
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		d.handshakes.hello(hello.Conn.RemoteAddr())
		settings, err := d.folder.Store.Settings(hello.Context(), "")
		if err == nil && settings.Get(setting.StockAgents) == 1 {
			return stock, nil
		}
		return strict, err
	}
	return config, nil
}

// ownPlaces returns how to tell the places of fragments that this server serves itself from other web servers'. It is
// known by the names of its certificate, by what it was told to be called, and by what an agent has called it just now;
// another port of the same computer is another web server.
func (d *daemon) ownPlaces(l *listening) func(place, called string) bool {
	names, ports := d.folder.Deployment.Hosts(), []string{portOf(l.secure)}
	if l.plain != nil {
		ports = append(ports, portOf(l.plain))
	}
	if host, port, err := net.SplitHostPort(l.where.HTTPS); err == nil {
		names, ports = append(names, host), append(ports, port)
	}
	return func(place, called string) bool {
		names, ports := slices.Clone(names), slices.Clone(ports)
		if host, port, err := net.SplitHostPort(called); err == nil {
			names, ports = append(names, host), append(ports, port)
		}
		return catalog.Location(place).IsAt(names, ports, delivery.Folder)
	}
}

func portOf(l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String()) // a TCP listener's address always has one
	return port
}

// listen opens one port and says in an administrator's words why it could not.
func listen(flag, address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf(
			"%s %s: the port is taken by another program; stop that program or choose another port", flag, address)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s %s: this computer does not have that address", flag, address)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s %s: not allowed; ports below 1024 need root or CAP_NET_BIND_SERVICE", flag,
			address)
	case err != nil:
		return nil, fmt.Errorf("%s %s: %w; give an address such as :8443 or 192.0.2.1:8443", flag, address, err)
	}
	return listener, nil
}

// serve answers until ctx ends.
func (d *daemon) serve(ctx context.Context, l *listening) error {
	enroller := d.enroller()
	next, err := origin.New(origin.Options{
		Store: d.folder.Store, Sites: d.folder.Store, Depot: d.folder.Depot, Verifier: enroller.Verifier(),
		Folder: filepath.Join(d.folder.Path, "swarm"), Log: d.logs.errors,
		Policy: origin.SitePolicy(d.folder.Store, time.Now),
	})
	if err != nil {
		return err
	}
	if err := d.folder.Announce(l.where); err != nil {
		return err
	}
	touches := make(chan store.Touch, 1024) // full: PROLOG waits for the next bulk
	trust := identity.NewTrustReader(d.folder.Deployment,
		func(err error) { d.logs.errors.Error("authorities", "reason", err) })
	online := identity.NewOnlineReader(d.folder.Deployment,
		func(err error) { d.logs.errors.Error("online key", "reason", err) })
	mux := http.NewServeMux()
	messages := ocsapi.New(ocsapi.Options{
		Store: d.folder.Store, Enroller: enroller, Log: d.logs.errors, Now: time.Now, Touch: touches,
		Trust: trust.Current, Online: online.Current, Own: d.ownPlaces(l),
	})
	delivery.New(d.folder.Depot, d.folder.Store.HasPackage, next.Outside, d.logs.errors).Register(mux)
	next.Register(mux)
	handler := accesslog.Wrap(ocsapi.Route(messages, mux), d.logs.access, time.Now)

	group, ctx := errgroup.WithContext(ctx)
	for _, listener := range []net.Listener{l.secure, l.plain} {
		if listener != nil {
			group.Go(func() error { return d.answer(ctx, listener, handler) })
		}
	}
	group.Go(func() error { return next.Run(ctx) })
	group.Go(func() error { return messages.Run(ctx) })
	group.Go(func() error { return d.tidy(ctx) })
	done := make(chan struct{})
	recorder := errgroup.Group{}
	recorder.Go(func() error { d.record(touches, done); return nil })
	d.logs.errors.Info("server started", "https", l.where.HTTPS, "http", l.where.HTTP, "deployment",
		d.folder.Deployment.Name())
	if d.options.Ready != nil {
		d.options.Ready("https://" + l.where.HTTPS)
	}
	err = group.Wait()
	close(done) // nobody answers any more: what is left is recorded
	err = errors.Join(err, recorder.Wait())
	d.logs.errors.Info("server stopped")
	return err
}

// enroller returns what certifies agents.
func (d *daemon) enroller() *agentapi.Enroller {
	deployment := d.folder.Deployment
	authority, key := deployment.AgentCA()
	return &agentapi.Enroller{
		Store: d.folder.Store, Deployment: deployment.Name(), Authority: authority, Key: key,
		Policy: deployment.SigningPolicy(), Log: d.logs.errors,
	}
}

// answer serves one listener until ctx ends; requests in progress then have stopTimeout to end.
func (d *daemon) answer(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       origin.ConnContext,
		ErrorLog:          log.New(d.handshakes, "", 0),
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve %s: %w", listener.Addr(), err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if err := server.Shutdown(patience); err != nil {
			return server.Close() // transfers that take longer resume at the next start
		}
		return nil
	})
	return group.Wait()
}

// recordPause is how long contacts are gathered before they are recorded together.
const recordPause = 500 * time.Millisecond

// record notes contacts in bulk until done, and then those that are left.
func (d *daemon) record(touches <-chan store.Touch, done <-chan struct{}) {
	for ended := false; !ended; {
		var bulk []store.Touch
		select {
		case touch := <-touches:
			bulk = append(bulk, touch)
		case <-done:
			ended = true
		}
		timer := time.NewTimer(recordPause)
		for gathering := true; gathering && len(bulk) < cap(touches); {
			select {
			case touch := <-touches:
				bulk = append(bulk, touch)
			default:
				select {
				case touch := <-touches:
					bulk = append(bulk, touch)
				case <-timer.C:
					gathering = false
				case <-done:
					gathering, ended = false, true
				}
			}
		}
		timer.Stop()
		if err := d.folder.Store.Touch(context.Background(), bulk); err != nil {
			d.logs.errors.Error("contacts not recorded", "contacts", len(bulk), "reason", err)
		}
	}
}

// tidy does once an hour what must be done now and then.
func (d *daemon) tidy(ctx context.Context) error {
	ticker := time.NewTicker(time.Hour)
	defer ticker.Stop()
	for {
		settings, err := d.folder.Store.Settings(ctx, "")
		if err == nil {
			age := time.Duration(settings.Get(setting.ValidateAfter)) * 24 * time.Hour
			validated, tidyErr := d.folder.Store.Tidy(ctx, age, time.Now())
			for _, id := range validated {
				d.logs.errors.Info("finished rollout validated", "package", id, "after", age)
			}
			err = tidyErr
		}
		if err != nil && ctx.Err() == nil {
			d.logs.errors.Error("tidying failed", "reason", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}
