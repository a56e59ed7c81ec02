"""`sendoff call`: every RPC of the contract by its name, with requests and answers in JSON."""
