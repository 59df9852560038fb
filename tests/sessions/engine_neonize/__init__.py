"""The neonize engine on the real library, against a loopback WhatsApp."""
