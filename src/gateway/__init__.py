"""The running process: settings, wiring, the Socket.IO edge, command line."""
