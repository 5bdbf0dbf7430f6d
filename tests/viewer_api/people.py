"""A person at a browser, as far as HTTP goes."""

from httpx import Client, Response

PASSWORD = "correct horse battery staple"


class Person:
    """Keeps the cookie and sends the CSRF token as the page does."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def log_in(self, email: str, password: str = PASSWORD, *, source: str = "") -> Response:
        headers = {"x-forwarded-for": source} if source else {}  # as a proxy on the node's machine says it
        response = self.client.post("/api/session", json={"email": email, "password": password}, headers=headers)
        if response.is_success:
            self.client.headers["x-csrf-token"] = response.json()["csrf_token"]
        return response

    def get(self, path: str) -> Response:
        return self.client.get(path)

    def post(self, path: str, **kwargs: object) -> Response:
        return self.client.post(path, **kwargs)
