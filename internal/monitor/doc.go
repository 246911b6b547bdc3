// Package monitor serves asynqmon, the web console of asynq, in a form that may stand beside card data.
//
// asynqmon as it comes shows payloads and error texts as they are, asks for no login, lets any web page
// in the operator's browser press its buttons and labels its own files wrongly. This package keeps it
// unchanged and stands around it:
//
//   - mask.go decides what of a payload or a text may be seen;
//   - api.go runs the JSON API through that, twice: once through the formatters that asynqmon offers,
//     once over the finished answer, since some texts pass no formatter;
//   - page.go serves the page and its files with the right types and a content security policy;
//   - guard.go and login.go let in whom they should.
//
// What is not masked: the names of queues and groups and the ids of tasks, because the links of the
// console are made of them. A producer must not put a token there; ours does not.
package monitor
