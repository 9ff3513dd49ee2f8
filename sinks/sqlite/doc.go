// Package sqlite keeps the promise of package sinks in a file. It is the default store; nothing has to be set up for it.
package sqlite
