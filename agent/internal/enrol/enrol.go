// Package enrol makes a computer a member of a deployment: the agent's key and a token become a
// certificate, and what the server says then is pinned for good.
//
// It may be interrupted anywhere and repeated: key and device ID are kept before the token is shown, and the
// server lets the same key use its token again.
package enrol

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"enjambre/agent/internal/origin"
	"enjambre/agent/internal/state"
	"enjambre/core"
	"enjambre/core/identity"
	"enjambre/core/ocs"
	"enjambre/core/seal"
)

// StockFolder is where the stock Unix agent keeps its state, a folder for each server.
const StockFolder = "/var/lib/ocsinventory-agent"

// Options say how to enrol. All but Tag, StockFolder and Proxy are required.
type Options struct {
	State       *state.Folder
	Server      string // as origin.ParseServer returns it
	CA          string // file of the server's authority
	Token       string
	Tag         string
	StockFolder string // whose device ID is taken over; "" = none
	Proxy       origin.Proxy
	Now         func() time.Time
}

// ErrRefused says that the server does not want this computer; the text beside it says why.
var ErrRefused = errors.New("the server refuses to enrol this computer")

// Enrol enrols the agent and returns who it now is. An agent that is enrolled already is refused.
func Enrol(ctx context.Context, o Options) (state.Identity, error) {
	switch known, err := o.State.Identity(); {
	case err == nil:
		return state.Identity{}, fmt.Errorf(
			"this agent is enrolled in deployment %q as %s; to enrol it anew, use --anew",
			known.Deployment, known.Device)
	case !errors.Is(err, state.ErrNotEnrolled):
		return state.Identity{}, err
	}
	client, err := origin.New(origin.Options{Address: o.Server, CAFile: o.CA, Proxy: o.Proxy, Now: o.Now})
	if err != nil {
		return state.Identity{}, err
	}
	defer client.Close()
	key, err := o.State.Key()
	if err != nil {
		return state.Identity{}, err
	}
	device, err := o.State.Device(
		func() (core.DeviceID, error) { return chooseDevice(o.StockFolder, key, o.Now()) })
	if err != nil {
		return state.Identity{}, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return state.Identity{}, err
	}
	answer, err := client.Exchange(ctx, ocs.Enrolment{Token: o.Token, Request: request}.Append(nil, device))
	if err != nil {
		return state.Identity{}, err
	}
	reply, err := ocs.ParseEnrolmentReply(answer)
	if err != nil {
		return state.Identity{}, fmt.Errorf("%s: %w", o.Server, err)
	}
	if reply.Reason != "" {
		return state.Identity{}, fmt.Errorf("%w: %s", ErrRefused, reply.Reason)
	}
	return keep(o, reply, key, device)
}

// keep checks what the server gave and writes it to the state folder.
func keep(o Options, reply ocs.EnrolmentReply, key ed25519.PrivateKey,
	device core.DeviceID) (state.Identity, error) {
	certificate, authority, err := judge(reply, key, device, o.Now())
	if err != nil {
		return state.Identity{}, err
	}
	serverCA, err := os.ReadFile(o.CA)
	if err != nil {
		return state.Identity{}, err
	}
	known := state.Identity{
		Deployment: reply.Deployment,
		Device:     device,
		Server:     o.Server,
		Site:       reply.Site,
		Tag:        o.Tag,
		Threshold:  reply.Threshold,
	}
	for _, signer := range reply.Signers {
		known.Signers = append(known.Signers, state.Signer{Owner: signer.Owner, Key: signer.Key})
	}
	if err := known.Policy().Check(); err != nil {
		return state.Identity{}, fmt.Errorf("the signing keys that the server gave: %w", err)
	}
	return known, o.State.Enrolled(
		state.Enrolment{Identity: known, Certificate: certificate, Authority: authority, ServerCA: serverCA})
}

// judge reads the certificate that a reply brings, and holds it to the key and the device it was asked for.
func judge(reply ocs.EnrolmentReply, key ed25519.PrivateKey, device core.DeviceID,
	now time.Time) (certificate, authority *x509.Certificate, err error) {
	authority, err = x509.ParseCertificate(reply.Authority)
	if err != nil {
		return nil, nil, core.Refuse(core.ClassIdent, "the server's agent CA cannot be read: %v", err)
	}
	certificate, err = x509.ParseCertificate(reply.Certificate)
	if err != nil {
		return nil, nil, core.Refuse(core.ClassIdent, "the certificate that the server gave cannot be read: %v", err)
	}
	verifier := identity.Verifier{Deployment: reply.Deployment, Authorities: []*x509.Certificate{authority}}
	member, err := verifier.Verify(certificate, 0, now)
	if err != nil {
		return nil, nil, fmt.Errorf("the certificate that the server gave: %w", err)
	}
	if member.Device != device || !key.Public().(ed25519.PublicKey).Equal(certificate.PublicKey) {
		return nil, nil, core.Refuse(core.ClassIdent, "the server gave the certificate of another agent")
	}
	return certificate, authority, nil
}

// Renew has the agent's certificate renewed by a client that shows the old one, expired or not. The pinned signing
// keys stay what they are: whoever holds the server's TLS key must not be able to replace them.
func Renew(ctx context.Context, client *origin.Client, folder *state.Folder, now time.Time) error {
	known, err := folder.Identity()
	if err != nil {
		return err
	}
	key, err := folder.Key()
	if err != nil {
		return err
	}
	answer, err := client.Exchange(ctx, ocs.Enrolment{}.Append(nil, known.Device))
	if err != nil {
		return err
	}
	reply, err := ocs.ParseEnrolmentReply(answer)
	switch {
	case err != nil:
		return err
	case reply.Reason != "":
		return fmt.Errorf("%w: %s", ErrRefused, reply.Reason)
	case reply.Deployment != known.Deployment:
		return core.Refuse(core.ClassIdent, "the server is that of deployment %q, this agent belongs to %q",
			reply.Deployment, known.Deployment)
	}
	certificate, authority, err := judge(reply, key, known.Device, now)
	if err != nil {
		return err
	}
	return folder.Renewed(certificate, authority)
}

// chooseDevice takes over a stock agent's device ID, or makes one of the form that the protocol demands: host
// name and local time. Four digits of the key's ID keep clones of one image apart that start together.
func chooseDevice(stock string, key ed25519.PrivateKey, now time.Time) (core.DeviceID, error) {
	if device := stockDevice(stock); device != "" {
		return device, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("host name: %w", err)
	}
	host, _, _ = strings.Cut(host, ".")
	id := seal.KeyIDOf(key.Public().(ed25519.PublicKey)).String()
	return core.ParseDeviceID(host + "-" + id[:4] + now.Local().Format("-2006-01-02-15-04-05"))
}

// stockDevice returns the device ID of the stock agent on this computer, "" when there is none. An agent that
// had several servers has several; the one that was used last counts.
func stockDevice(folder string) core.DeviceID {
	if folder == "" {
		return ""
	}
	files, err := filepath.Glob(filepath.Join(folder, "*", "ocsinv.conf"))
	if err != nil {
		return ""
	}
	used := func(name string) time.Time {
		stat, err := os.Stat(name)
		if err != nil {
			return time.Time{}
		}
		return stat.ModTime()
	}
	slices.SortFunc(files, func(a, b string) int { return used(b).Compare(used(a)) })
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil || len(data) > 1<<20 {
			continue
		}
		_, after, _ := strings.Cut(string(data), "<DEVICEID>")
		text, _, closed := strings.Cut(after, "</DEVICEID>")
		if device, err := core.ParseDeviceID(strings.TrimSpace(text)); err == nil && closed {
			return device
		}
	}
	return ""
}
