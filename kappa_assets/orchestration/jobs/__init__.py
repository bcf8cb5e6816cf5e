"""The op jobs, and what they share: data moved, tables replayed, a lake kept up."""
