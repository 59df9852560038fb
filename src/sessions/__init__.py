"""WhatsApp sessions: engines, event log, outbox. Knows no transport and reads no environment."""
