"""What runs in the parent process: the ring, its channels, and the processes it watches."""
