"""What the tests use to run real time servers, networks and databases; each module says what it is for."""
