package ocs

import (
	"strconv"
	"time"

	"enjambre/core"
	"enjambre/core/internal/strictxml"
)

// A Response is the verb of a reply. Agents compare it in exact upper case.
type Response string

// The verbs: to PROLOG, then to INVENTORY.
const (
	Send            Response = "SEND" // send an inventory now
	Stop            Response = "STOP" // do not
	NoAccountUpdate Response = "NO_ACCOUNT_UPDATE"
	AccountUpdate   Response = "ACCOUNT_UPDATE"
)

// MaxPacks is how many packages one reply may list; more wait for the next contact.
const MaxPacks = 256

// A PrologReply is a server's answer to PROLOG.
type PrologReply struct {
	Response           Response
	PrologFreq         int  // hours between contacts
	InventoryOnStartup bool // the Windows service calls when it starts
	Download           *Download
	Swarm              *Swarm // Enjambre's own; nil from and for stock programs

	// Cloned says that the agent's identity is used by another computer too, and that the other one keeps it.
	// Response is then Stop, there are no options, and Reason is a text for people. The agent must run and
	// report nothing more until it has enrolled again, or a later reply no longer says so: an administrator
	// may have decided for it.
	Cloned bool
	Reason string // at most MaxResultDetail bytes; "" unless Cloned
}

// A Download is the DOWNLOAD option: the schedule and the packages to install.
type Download struct {
	Conf  Conf
	Packs []Pack // at most MaxPacks
}

// A Conf is the schedule. Whole seconds, minutes and days travel; the rest is cut.
type Conf struct {
	On               bool          // off: a running download stops, nothing is lost
	PeriodLength     int           // cycles
	CycleLatency     time.Duration // after each cycle
	FragLatency      time.Duration // after each fragment
	PeriodLatency    time.Duration // after each period
	TimeoutDays      int           // from the first notification; must be sent: Unix agents take absent as 0
	ExecutionTimeout time.Duration // of a command; travels in minutes
	FragsPerTurn     int           // Enjambre's own; 0 = all
}

// A Pack is one package to install. Locations are host[:port]/folder, without scheme.
type Pack struct {
	ID                core.PackageID
	InfoLocation      string // agents fetch https://InfoLocation/ID/info
	FragmentsLocation string // and PROTO://FragmentsLocation/ID/ID-n
	Force             bool   // install although the agent's history has it
	Schedule          string // "YYYY/MM/DD HH:MM" local time, or empty; stock Windows agents only
	PostCommand       string // after the installation; stock Windows agents only
}

// installPath stands for the agent's data folder in the legacy certificate attributes.
const installPath = "INSTALL_PATH"

// Append appends the reply. CONF stands first and always has all seven stock attributes: the Windows
// agent takes the first PARAM with any of them as the configuration, and the Unix agent times every
// package out at once when TIMEOUT is absent.
func (r PrologReply) Append(to []byte) []byte {
	to = append(to, strictxml.Declaration...)
	to = append(to, "<REPLY>\n"...)
	to = strictxml.AppendElement(to, 1, "RESPONSE", string(r.Response))
	to = strictxml.AppendElement(to, 1, "PROLOG_FREQ", strconv.Itoa(r.PrologFreq))
	to = strictxml.AppendElement(to, 1, "INVENTORY_ON_STARTUP", zeroOrOne(r.InventoryOnStartup))
	if r.Cloned {
		to = strictxml.AppendElement(to, 1, "CLONED", "1")
		to = strictxml.AppendElement(to, 1, "REASON", printable(r.Reason, MaxResultDetail))
	}
	if r.Download != nil {
		to = append(to, "  <OPTION>\n"...)
		to = strictxml.AppendElement(to, 2, "NAME", "DOWNLOAD")
		to = r.Download.Conf.append(to)
		for _, pack := range r.Download.Packs {
			to = pack.append(to)
		}
		to = append(to, "  </OPTION>\n"...)
	}
	if r.Swarm != nil {
		to = r.Swarm.append(to)
	}
	return append(to, "</REPLY>\n"...)
}

func zeroOrOne(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

func (c Conf) append(to []byte) []byte {
	to = append(to, `    <PARAM TYPE="CONF"`...)
	to = strictxml.AppendAttribute(to, "ON", zeroOrOne(c.On))
	to = appendNumber(to, "PERIOD_LENGTH", c.PeriodLength)
	to = appendNumber(to, "CYCLE_LATENCY", int(c.CycleLatency/time.Second))
	to = appendNumber(to, "FRAG_LATENCY", int(c.FragLatency/time.Second))
	to = appendNumber(to, "PERIOD_LATENCY", int(c.PeriodLatency/time.Second))
	to = appendNumber(to, "TIMEOUT", c.TimeoutDays)
	to = appendNumber(to, "EXECUTION_TIMEOUT", int(c.ExecutionTimeout/time.Minute))
	if c.FragsPerTurn != 0 {
		to = appendNumber(to, "FRAGS_PER_TURN", c.FragsPerTurn)
	}
	return append(to, " />\n"...)
}

func (p Pack) append(to []byte) []byte {
	to = append(to, `    <PARAM TYPE="PACK"`...)
	to = strictxml.AppendAttribute(to, "ID", p.ID.String())
	to = strictxml.AppendAttribute(to, "INFO_LOC", p.InfoLocation)
	to = strictxml.AppendAttribute(to, "PACK_LOC", p.FragmentsLocation)
	to = strictxml.AppendAttribute(to, "CERT_PATH", installPath)
	to = strictxml.AppendAttribute(to, "CERT_FILE", installPath+"/cacert.pem")
	to = strictxml.AppendAttribute(to, "SCHEDULE", p.Schedule)
	to = strictxml.AppendAttribute(to, "POSTCMD", p.PostCommand)
	to = strictxml.AppendAttribute(to, "FORCE", zeroOrOne(p.Force))
	return append(to, " />\n"...)
}

func appendNumber(to []byte, name string, value int) []byte {
	return strictxml.AppendAttribute(to, name, strconv.Itoa(value))
}

// replyLimits allow a reply that lists MaxPacks packages.
var replyLimits = strictxml.Limits{
	Bytes:      512 << 10,
	Depth:      32,
	Attributes: 64,
	Value:      64 << 10,
	Elements:   4096,
}

// parseReply reads a document whose root must be REPLY.
func parseReply(document []byte, limits strictxml.Limits) (*strictxml.Element, Response, error) {
	root, err := strictxml.Parse(document, limits)
	if err != nil {
		return nil, "", err
	}
	if root.Name != "REPLY" {
		return nil, "", core.Refuse(core.ClassXML, "root element <%s>, want <REPLY>", root.Name)
	}
	response, err := field(root, "RESPONSE")
	return root, Response(response), err
}

// ParsePrologReply reads a server's answer to PROLOG, ours or a stock server's: options it does not
// know are ignored, absent schedule values take the stock agent's defaults.
func ParsePrologReply(document []byte) (PrologReply, error) {
	root, response, err := parseReply(document, replyLimits)
	if err != nil {
		return PrologReply{}, err
	}
	reply := PrologReply{Response: response}
	numbers := newNumbers(root)
	reply.PrologFreq = numbers.read("PROLOG_FREQ", 24, 1<<20)
	reply.InventoryOnStartup = numbers.read("INVENTORY_ON_STARTUP", 0, 1) == 1
	reply.Cloned = numbers.read("CLONED", 0, 1) == 1
	if numbers.err != nil {
		return PrologReply{}, numbers.err
	}
	if reply.Cloned {
		reason, err := field(root, "REASON")
		if err != nil {
			return PrologReply{}, err
		}
		reply.Reason = printable(reason, MaxResultDetail)
	}
	err = children(root, "OPTION", func(option *strictxml.Element) error {
		name, err := field(option, "NAME")
		switch {
		case err != nil:
			return err
		case name == "DOWNLOAD" && reply.Download == nil:
			reply.Download, err = parseDownload(option)
		case name == "SWARM" && reply.Swarm == nil:
			reply.Swarm, err = parseSwarm(option)
		case name == "DOWNLOAD", name == "SWARM":
			err = core.Refuse(core.ClassXML, "option %s is given twice", name)
		}
		return err
	})
	return reply, err
}

func parseDownload(option *strictxml.Element) (*Download, error) {
	download := &Download{}
	configured := false
	err := children(option, "PARAM", func(param *strictxml.Element) error {
		kind, _ := param.Attribute("TYPE")
		switch {
		case kind == "CONF" && configured:
			return core.Refuse(core.ClassXML, "option DOWNLOAD has two CONF")
		case kind == "CONF":
			var err error
			download.Conf, err = parseConf(param)
			configured = true
			return err
		case kind == "PACK" && len(download.Packs) == MaxPacks:
			return core.Refuse(core.ClassLimit, "option DOWNLOAD lists more than %d packages", MaxPacks)
		case kind == "PACK":
			pack, err := parsePack(param)
			download.Packs = append(download.Packs, pack)
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !configured {
		return nil, core.Refuse(core.ClassField, "option DOWNLOAD has no CONF")
	}
	return download, nil
}

// Bounds of schedule values, far above any use; they keep sums of durations from overflowing.
const (
	maxSeconds = 7 * 24 * 3600
	maxCycles  = 1000
	maxDays    = 3650
)

func parseConf(param *strictxml.Element) (Conf, error) {
	numbers := newNumbers(param)
	seconds := func(name string, absent int) time.Duration {
		return time.Duration(numbers.read(name, absent, maxSeconds)) * time.Second
	}
	conf := Conf{
		On:               numbers.read("ON", 0, 1) == 1,
		PeriodLength:     numbers.read("PERIOD_LENGTH", 10, maxCycles),
		CycleLatency:     seconds("CYCLE_LATENCY", 10),
		FragLatency:      seconds("FRAG_LATENCY", 10),
		PeriodLatency:    seconds("PERIOD_LATENCY", 0),
		TimeoutDays:      numbers.read("TIMEOUT", 30, maxDays),
		ExecutionTimeout: time.Duration(numbers.read("EXECUTION_TIMEOUT", 120, maxSeconds/60)) * time.Minute,
		FragsPerTurn:     numbers.read("FRAGS_PER_TURN", 0, core.MaxFragments),
	}
	return conf, numbers.err
}

func parsePack(param *strictxml.Element) (Pack, error) {
	var pack Pack
	var force, id string
	texts := []struct {
		name string
		to   *string
	}{
		{"ID", &id}, {"INFO_LOC", &pack.InfoLocation}, {"PACK_LOC", &pack.FragmentsLocation},
		{"FORCE", &force}, {"SCHEDULE", &pack.Schedule}, {"POSTCMD", &pack.PostCommand},
	}
	for _, text := range texts {
		value, err := field(param, text.name)
		if err != nil {
			return Pack{}, err
		}
		*text.to = value
	}
	pack.Force = force == "1"
	var err error
	pack.ID, err = core.ParsePackageID(id)
	return pack, err
}

// numbers reads whole numbers and keeps the first error.
type numbers struct {
	from *strictxml.Element
	err  error
}

func newNumbers(from *strictxml.Element) *numbers { return &numbers{from: from} }

// read returns the number called name, or absent when there is none; it must lie in 0..most.
func (n *numbers) read(name string, absent, most int) int {
	return int(n.read64(name, int64(absent), int64(most)))
}

// read64 is read for numbers that an int may be too small for.
func (n *numbers) read64(name string, absent, most int64) int64 {
	text, err := field(n.from, name)
	if err == nil && text == "" {
		return absent
	}
	var number int64
	if err == nil {
		number, err = strconv.ParseInt(text, 10, 64)
		if err != nil || number < 0 || number > most {
			err = core.Refuse(core.ClassLimit, "%s=%q: use a whole number from 0 to %d", name, printable(text, 40),
				most)
		}
	}
	if err != nil && n.err == nil {
		n.err = err
	}
	return number
}
