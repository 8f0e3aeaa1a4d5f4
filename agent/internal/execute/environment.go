package execute

import (
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"enjambre/core"
)

// An environment is what a command sees, by names; on Windows names are kept in upper case.
type environment struct{ values map[string]string }

// unsafeNames are variables of the service that do not reach a command: they make programs load code, shells
// run files or split words differently, or libraries read tables from elsewhere (C08). A trailing "*" stands
// for any ending.
var unsafeNames = []string{
	// the loaders and the C library
	"LD_*", "DYLD_*", "_RLD*", "LIBPATH", "SHLIB_PATH", "GCONV_PATH", "GETCONF_DIR", "GLIBC_TUNABLES",
	"MALLOC_*", "LOCPATH", "NLSPATH", "TZDIR", "HOSTALIASES", "LOCALDOMAIN", "RES_OPTIONS", "RESOLV_*",
	"TERMINFO*", "TERMCAP",
	// shells
	"BASH_*", "BASHOPTS", "SHELLOPTS", "ENV", "IFS", "CDPATH", "GLOBIGNORE", "PS4", "PROMPT_COMMAND",
	"ZDOTDIR", "KSH_*", "FPATH", "PATHEXT", "COMSPEC", "PSMODULEPATH",
	// interpreters and their libraries
	"PYTHON*", "PERL*", "PERL5*", "RUBY*", "GEM_*", "BUNDLE_*", "NODE_*", "NPM_CONFIG_*", "LUA_*", "PHPRC",
	"PHP_INI_SCAN_DIR", "TCLLIBPATH", "GUILE_*", "R_*", "CLASSPATH", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS",
	"JDK_JAVA_OPTIONS", "JAVA_OPTS", "DOTNET_*", "COR_*", "CORECLR_*", "COMPLUS_*", "GODEBUG", "ERL_*",
	// libraries that load plugins
	"OPENSSL_*", "GTK_*", "GIO_*", "GDK_PIXBUF_*", "QT_*", "QML*", "SASL_PATH", "KRB5_*", "LIBGL_*", "MAGICK_*",
	"GST_*", "VK_*", "ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS", "MSAN_OPTIONS",
	// tools that run what a variable says
	"PAGER", "EDITOR", "VISUAL", "LESSOPEN", "LESSCLOSE", "GIT_*", "TAR_OPTIONS", "GREP_OPTIONS", "MAKEFLAGS",
	"DEBCONF_*", "DPKG_*", "RPM_CONFIGDIR", "APT_CONFIG",
	// what is between a service and its manager, and our own
	"NOTIFY_SOCKET", "LISTEN_*", "WATCHDOG_*", "MAINPID", "MANAGERPID", "INVOCATION_ID", "JOURNAL_STREAM",
	"SYSTEMD_*", "CREDENTIALS_DIRECTORY", "ENJAMBRE_*",
	// a desktop is given by the order, or not at all
	"DISPLAY", "WAYLAND_*", "XAUTHORITY", "XDG_*", "DBUS_*", "SESSION_MANAGER", "SSH_*",
	// made anew for every command
	"PATH", "TMPDIR", "TEMP", "TMP", "PWD", "OLDPWD", "SHLVL", "_",
}

// isUnsafe reports whether a variable of the service is kept from commands.
func isUnsafe(name, value string) bool {
	if strings.HasPrefix(value, "() {") { // a shell function
		return true
	}
	name = strings.ToUpper(name)
	return slices.ContainsFunc(unsafeNames, func(unsafe string) bool {
		start, open := strings.CutSuffix(unsafe, "*")
		return name == unsafe || open && strings.HasPrefix(name, start)
	})
}

// newEnvironment builds a command's environment from nothing: the service's own variables but for the unsafe
// ones, then what every command is given.
func newEnvironment(service []string, order Order, work, temporary string) *environment {
	env := &environment{values: map[string]string{}}
	for _, variable := range service {
		name, value, found := strings.Cut(variable, "=")
		if found && name != "" && !isUnsafe(name, value) {
			env.set(name, value)
		}
	}
	if order.Session != nil {
		for _, variable := range order.Session.Environment() {
			name, value, _ := strings.Cut(variable, "=")
			env.set(name, value)
		}
	}
	env.set("PATH", work+string(filepath.ListSeparator)+fixedPath)
	env.set("PKG_DIR", work)
	env.set("SITE", string(order.Site))
	if runtime.GOOS == "windows" {
		env.set("TEMP", temporary)
		env.set("TMP", temporary)
		return env
	}
	env.set("TMPDIR", temporary)
	// What cron and a login give.
	name, home := account()
	env.set("USER", name)
	env.set("LOGNAME", name)
	env.setDefault("HOME", home)
	env.setDefault("SHELL", "/bin/sh")
	env.setDefault("TERM", "dumb")
	env.setDefault("LANG", "C.UTF-8")
	return env
}

// account returns the name and the home folder of whom the service runs as. Root's are known without a directory service,
// which may hang.
func account() (name, home string) {
	if os.Geteuid() == 0 {
		return "root", "/root"
	}
	if current, err := user.Current(); err == nil && filepath.IsAbs(current.HomeDir) {
		return current.Username, current.HomeDir
	}
	return strconv.Itoa(os.Geteuid()), rootFolder
}

func (e *environment) key(name string) string {
	if runtime.GOOS == "windows" {
		return strings.ToUpper(name)
	}
	return name
}

func (e *environment) set(name, value string) { e.values[e.key(name)] = value }

func (e *environment) setDefault(name, value string) {
	if e.values[e.key(name)] == "" {
		e.set(name, value)
	}
}

// value returns a variable's value, to be put into a command line or a path. The error has class E_ENV.
func (e *environment) value(name string) (string, error) {
	value, known := e.values[e.key(name)]
	switch {
	case !known:
		return "", core.Refuse(core.ClassEnv, "the variable %.80q is not known here", name)
	case strings.ContainsAny(value, "\x00\r\n"):
		return "", core.Refuse(core.ClassEnv, "the value of %.80q has more than one line", name)
	}
	return value, nil
}

// list returns the variables as programs are given them, in the order of their names.
func (e *environment) list() []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(e.values)) {
		list = append(list, name+"="+e.values[name])
	}
	return list
}

// serviceEnvironment is what this process was started with.
func serviceEnvironment() []string { return os.Environ() }
