// Package emulator is a Microsoft Dataverse organisation for tests and for work without one.
package emulator
