"""The one declaration of a call: its endpoint, the rules of its arguments, and the method that users call."""
