/* A loopback HTTP/1.1 server with canned answers, cheap enough not to be what a benchmark measures.
 *
 *   server REQUEST_LINE=FILE ...     e.g.  server "POST /alibaba/refund/info=tiny.json"
 *
 * One thread, one epoll loop. A request is answered with the file whose key its first line begins with
 * (the first that fits; 404 otherwise) as soon as its body has come in, which is counted and thrown away.
 * Connections are kept alive. `GET /received` tells how many bytes have come in. It prints its port and
 * serves until it is killed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_LIMIT 16384
#define BODY_PIECE 262144
#define EVENTS 256

struct route {
    const char *key;
    size_t key_length;
    char *answer;
    size_t length;
};

/* What is known of one connection: the head that came so far, the body that is still to come, and the
 * answer that is being sent. */
struct connection {
    int socket;
    size_t filled;
    size_t body_left;
    const struct route *answering;
    size_t sent;
    char head[HEAD_LIMIT];
};

static struct route routes[32];
static int route_count;
static struct route not_found;
static struct route received_route;
static unsigned long received;
static char thrown_away[BODY_PIECE];

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void make_answer(struct route *route, const char *status, const char *body, size_t length)
{
    char head[256];
    int written = snprintf(head, sizeof head,
                           "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", status,
                           length);
    route->length = (size_t)written + length;
    route->answer = malloc(route->length);
    if (!route->answer)
        fail("malloc");
    memcpy(route->answer, head, (size_t)written);
    memcpy(route->answer + written, body, length);
}

static void read_route(const char *argument)
{
    const char *equals = strrchr(argument, '=');
    if (!equals || route_count == 32)
        fail("KEY=FILE, at most 32 of them");
    FILE *file = fopen(equals + 1, "rb");
    if (!file || fseek(file, 0, SEEK_END))
        fail(equals + 1);
    long size = ftell(file);
    char *body = malloc((size_t)size + 1);
    rewind(file);
    if (!body || fread(body, 1, (size_t)size, file) != (size_t)size)
        fail(equals + 1);
    fclose(file);
    struct route *route = &routes[route_count++];
    route->key = argument;
    route->key_length = (size_t)(equals - argument);
    make_answer(route, "200 OK", body, (size_t)size);
    free(body);
}

static const struct route *find_route(const char *head, size_t length)
{
    for (int i = 0; i < route_count; i++)
        if (length >= routes[i].key_length && !memcmp(head, routes[i].key, routes[i].key_length))
            return &routes[i];
    if (length > 13 && !memcmp(head, "GET /received", 13)) {
        char number[32];
        int digits = snprintf(number, sizeof number, "%lu", received);
        free(received_route.answer);
        make_answer(&received_route, "200 OK", number, (size_t)digits);
        return &received_route;
    }
    return &not_found;
}

static size_t body_length(const char *head)
{
    const char *field = strcasestr(head, "\r\ncontent-length:");
    return field ? strtoul(field + 17, NULL, 10) : 0;
}

static void finish(int poll, struct connection *connection)
{
    epoll_ctl(poll, EPOLL_CTL_DEL, connection->socket, NULL);
    close(connection->socket);
    free(connection);
}

static void want(int poll, struct connection *connection, unsigned events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};
    epoll_ctl(poll, EPOLL_CTL_MOD, connection->socket, &event);
}

/* Send what is left of the answer; 0 when the connection is lost. */
static int answer(int poll, struct connection *connection)
{
    const struct route *route = connection->answering;
    while (connection->sent < route->length) {
        ssize_t sent = send(connection->socket, route->answer + connection->sent, route->length - connection->sent,
                            MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            want(poll, connection, EPOLLIN | EPOLLOUT);
            return 1;
        }
        if (sent < 0)
            return 0;
        connection->sent += (size_t)sent;
    }
    connection->answering = NULL;
    connection->sent = 0;
    return 1;
}

/* Answer every request whose head and body are complete; 0 when the connection is to be closed. */
static int digest(int poll, struct connection *connection)
{
    while (!connection->answering && connection->filled) {
        connection->head[connection->filled] = 0;
        char *end = strstr(connection->head, "\r\n\r\n");
        if (!end)
            return connection->filled < HEAD_LIMIT - 1;
        size_t head = (size_t)(end - connection->head) + 4;
        end[2] = 0;
        size_t body = body_length(connection->head);
        connection->answering = find_route(connection->head, head);
        size_t whole = head + body;
        if (whole > connection->filled) {
            connection->body_left = whole - connection->filled;
            connection->filled = 0;
            return 1;
        }
        memmove(connection->head, connection->head + whole, connection->filled - whole);
        connection->filled -= whole;
        if (!answer(poll, connection))
            return 0;
    }
    return 1;
}

/* Read what has come; 0 when the connection is to be closed. */
static int readable(int poll, struct connection *connection)
{
    if (connection->body_left) {
        size_t room = connection->body_left < BODY_PIECE ? connection->body_left : BODY_PIECE;
        ssize_t got = recv(connection->socket, thrown_away, room, 0);
        if (got <= 0)
            return got < 0 && errno == EAGAIN;
        received += (size_t)got;
        connection->body_left -= (size_t)got;
        return connection->body_left || answer(poll, connection);
    }
    ssize_t got = recv(connection->socket, connection->head + connection->filled,
                       HEAD_LIMIT - 1 - connection->filled, 0);
    if (got <= 0)
        return got < 0 && errno == EAGAIN;
    received += (size_t)got;
    connection->filled += (size_t)got;
    return digest(poll, connection);
}

static void writable(int poll, struct connection *connection)
{
    if (connection->answering && !connection->body_left && !answer(poll, connection)) {
        finish(poll, connection);
        return;
    }
    if (!connection->answering) {
        want(poll, connection, EPOLLIN);
        if (!digest(poll, connection))
            finish(poll, connection);
    }
}

static void welcome(int poll, int listener)
{
    int one = 1, client;
    while ((client = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct connection *connection = calloc(1, sizeof *connection);
        if (!connection)
            fail("calloc");
        connection->socket = client;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        epoll_ctl(poll, EPOLL_CTL_ADD, client, &event);
    }
}

int main(int count, char **arguments)
{
    signal(SIGPIPE, SIG_IGN);
    for (int i = 1; i < count; i++)
        read_route(arguments[i]);
    make_answer(&not_found, "404 Not Found", "{}", 2);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), poll = epoll_create1(0);
    if (listener < 0 || poll < 0 || bind(listener, (struct sockaddr *)&address, length) || listen(listener, 4096))
        fail("listen");
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!connection)
                welcome(poll, listener);
            else if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !readable(poll, connection))
                finish(poll, connection);
            else if (events[i].events & EPOLLOUT)
                writable(poll, connection);
        }
    }
}
