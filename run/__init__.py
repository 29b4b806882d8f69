"""What `make run`, `make up`, `make down` and `make serve` call."""
