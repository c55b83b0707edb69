"""How a call is declared, once: the endpoint, the rules of its arguments, and the call that users hold."""
