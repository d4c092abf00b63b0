"""Connected clients: what each is sent, how fast, and when it is cut off."""
