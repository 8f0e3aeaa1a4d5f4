// Package query is the language in which administrators search computers.
//
// The same text works on the command line, in the console and in the API:
//
//	os = windows and memory >= 8GB and not software("firefox", >= 140)
//
// [Parse] reads it and returns an [Expr] whose values are already sizes, ages, networks. [Match]
// says whether a computer satisfies an expression: it is the meaning of the language, and whoever
// answers queries another way (the store, in SQL) is tested against it. The package reads no clock
// and holds no computers.
//
// # Grammar
//
// Blanks separate; keywords, field names, units and states may be written in any case.
//
//	expr   = all { "or" all }
//	all    = one { "and" one }
//	one    = "not" one | "(" expr ")" | term
//	term   = field op value
//	       | field [ "not" ] "in" set
//	       | "software" "(" value [ "," op value ] ")"
//	       | "state" "(" value ")" ( op value | [ "not" ] "in" set )
//	set    = value | "(" value { "," value } ")"
//	op     = "=" | "!=" | "~" | "<" | "<=" | ">" | ">="
//	value  = word | quoted
//	word   = characters other than blanks, quotes and = ! ~ < > ( ) ,
//	quoted = '"' characters '"' | "'" characters "'"; a quote inside is doubled
//
// A backslash is an ordinary character, since accounts are written CORP\ana.
//
// # Limits
//
// A query has at most 8 KiB ([MaxText]), as typed and as String writes it, 32 levels of "not" and
// parentheses, 256 terms, and 1000 values in one list.
//
// # Meaning
//
// Every term is true or false for every computer; nothing is "unknown". So "!=" is exactly the
// opposite of "=", "<" of ">=" and ">" of "<=", whatever the computer lacks: a text that is not
// known is empty, a size that is not known is 0, and a contact or an inventory that never happened
// is older than any age and before any date. The terms about several things at once (ip, mac, user,
// software) ask for any of them; "ip != x" and "mac != x" thus say that none is x.
package query
