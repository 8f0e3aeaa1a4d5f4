package inventory

import "strings"

// physical is what VMSYSTEM says of a computer that is none of the others.
const physical = "Physical"

// container names what kind of container this system runs in, or is "".
func (s System) container() string {
	switch {
	case s.exists("/run/.containerenv"):
		return "Podman"
	case s.exists("/.dockerenv"):
		return "Docker"
	}
	if kind := s.text("/run/systemd/container"); kind != "" {
		return kind
	}
	environment, err := s.read("/proc/1/environ", maxFile) // root's alone
	if err != nil {
		return ""
	}
	for variable := range strings.SplitSeq(string(environment), "\x00") {
		if kind, found := strings.CutPrefix(variable, "container="); found {
			return kind
		}
	}
	return ""
}

// hypervisors are told by a word of the firmware's makers and models, in lower case, the more telling first.
var hypervisors = []struct{ word, name string }{
	{"vmware", "VMware"}, {"virtualbox", "VirtualBox"}, {"innotek", "VirtualBox"}, {"parallels", "Parallels"},
	{"apple virtualization", "Apple Virtualization"}, {"amazon ec2", "Amazon EC2"},
	{"google compute engine", "Google Compute Engine"}, {"openstack", "OpenStack"}, {"xen", "Xen"},
	{"bhyve", "bhyve"},
	{"bochs", "Bochs"}, {"kvm", "KVM"}, {"qemu", "QEMU"},
}

// virtualization names the container or the virtual machine that the system runs in.
func (s System) virtualization(cpus processors, rest firmware) string {
	if kind := s.container(); kind != "" {
		return kind
	}
	if strings.Contains(strings.ToLower(s.text("/proc/sys/kernel/osrelease")), "microsoft") {
		return "WSL"
	}
	if s.text("/sys/hypervisor/type") == "xen" {
		return "Xen"
	}
	if rest.maker == "Microsoft Corporation" && rest.model == "Virtual Machine" {
		return "Hyper-V"
	}
	makers := []string{rest.maker, rest.model, rest.biosMaker, rest.biosVersion}
	words := strings.ToLower(strings.Join(makers, "\n"))
	if cpus.guest { // the metal of a cloud bears the same names
		for _, one := range hypervisors {
			if strings.Contains(words, one.word) {
				return one.name
			}
		}
		return "Virtual Machine"
	}
	return physical
}

// role says what the computer is for, as far as its housing tells.
func (s System) role(cpus processors, rest firmware) string {
	if kind := s.virtualization(cpus, rest); kind != physical {
		if s.container() != "" {
			return "Container"
		}
		return "Virtual Machine"
	}
	switch rest.chassis {
	case 8, 9, 10, 11, 14, 30, 31, 32:
		return "Laptop"
	case 3, 4, 5, 6, 7, 13, 15, 16, 24, 34, 35, 36:
		return "Desktop"
	case 17, 22, 23, 25, 28, 29:
		return "Server"
	}
	return ""
}
