"""Put the application together, a module for each kind of process. Nothing here decides anything."""
