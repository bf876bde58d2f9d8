import chainlit


@chainlit.password_auth_callback
def log_in(username: str, password: str):
    if password == "lovelace":
        return chainlit.User(identifier=username)


@chainlit.on_message
async def answer(message: chainlit.Message):
    await chainlit.Message(content=f"You said: {message.content}").send()
