package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"enjambre/core"
)

// NextHosts returns the hosts that the next certificate is to be for, besides [Deployment.Hosts]. A start does not ask
// for them yet: a certificate that has them is still to be made.
func (d *Deployment) NextHosts() ([]string, error) {
	data, err := readFile(d.path(nextHostsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	hosts, problems := parseHosts(strings.Fields(string(data)))
	if len(problems) > 0 {
		return nil, fmt.Errorf("%s, which \"host add\" makes anew once it is removed: %w", d.path(nextHostsFile),
			errors.Join(problems...))
	}
	return hosts, nil
}

func (d *Deployment) writeNextHosts(hosts []string) error {
	if len(hosts) == 0 {
		return removeFile(d.path(nextHostsFile))
	}
	return writeFile(d.path(nextHostsFile), []byte(strings.Join(hosts, "\n")+"\n"), publicMode)
}

// writeHosts replaces the hosts in deployment.json.
func (d *Deployment) writeHosts(hosts []string) error {
	changed := d.record
	changed.Hosts = hosts
	data, err := json.Marshal(changed)
	if err != nil {
		return err
	}
	if err := writeFile(d.path(deploymentFile), append(data, '\n'), publicMode); err != nil {
		return err
	}
	d.record = changed
	return nil
}

// AddHosts adds names and addresses by which agents reach the server. Those that the certificate in service has count
// at once. The others, which it returns, wait for the next certificate: requests and self-signed ones are made for them
// too, and putting one in service adds what it has.
func (d *Deployment) AddHosts(texts []string) (waiting []string, err error) {
	next, err := d.NextHosts()
	if err != nil {
		return nil, err
	}
	all, problems := parseHosts(slices.Concat(d.record.Hosts, next, texts))
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if err := d.writeNextHosts(all[len(d.record.Hosts):]); err != nil {
		return nil, err
	}
	if list, err := readIfThere(d.path(serverFile)); err == nil && len(list) > 0 {
		return d.adoptHosts(&chain{certificates: list})
	}
	return d.NextHosts()
}

// adoptHosts has those of the next hosts count that a certificate in service has. It returns the others. An
// interruption between its two steps leaves a host in both places, which the next call mends.
func (d *Deployment) adoptHosts(served *chain) (waiting []string, err error) {
	next, err := d.NextHosts()
	if err != nil || len(next) == 0 {
		return nil, err
	}
	hosts := slices.Clone(d.record.Hosts)
	for _, host := range next {
		switch {
		case served.leaf().VerifyHostname(host) != nil:
			waiting = append(waiting, host)
		case !slices.Contains(hosts, host):
			hosts = append(hosts, host)
		}
	}
	if !slices.Equal(hosts, d.record.Hosts) {
		if err := d.writeHosts(hosts); err != nil {
			return nil, err
		}
	}
	return waiting, d.writeNextHosts(waiting)
}

// RemoveHost takes a host away. The certificate in service may go on naming it; the next one does not. The last host is
// refused. inUse says what else names the host, with an error.
func (d *Deployment) RemoveHost(text string, inUse func(host string) error) error {
	host, err := parseHost(text)
	if err != nil {
		return err
	}
	next, err := d.NextHosts()
	if err != nil {
		return err
	}
	isHost, isNext := slices.Contains(d.record.Hosts, host), slices.Contains(next, host)
	switch {
	case !isHost && !isNext:
		return core.Refuse(core.ClassField, "%q is no host of this deployment, which has %s", host,
			strings.Join(slices.Concat(d.record.Hosts, next), ", "))
	case isHost && len(d.record.Hosts) == 1:
		return core.Refuse(core.ClassField, "%q is the only host by which agents reach this server: add another one first "+
			"(one that waits for a certificate does not count yet)", host)
	case isHost:
		if err := inUse(host); err != nil {
			return err
		}
	}
	without := func(list []string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(other string) bool { return other == host })
	}
	if isHost {
		if err := d.writeHosts(without(d.record.Hosts)); err != nil {
			return err
		}
	}
	return d.writeNextHosts(without(next))
}

// currentHosts returns the hosts as deployment.json has them now: another process may have changed them since [Load].
func (d *Deployment) currentHosts() []string {
	data, err := readFile(d.path(deploymentFile))
	if err != nil {
		return d.record.Hosts // while it is being made
	}
	read, err := parseRecord(data)
	if err != nil {
		return d.record.Hosts
	}
	return read.Hosts
}
