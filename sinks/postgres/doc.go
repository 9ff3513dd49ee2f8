// Package postgres keeps the promise of package sinks in a Postgres database, such as Neon.
package postgres
