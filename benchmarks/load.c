/* How fast the server is by itself: as many requests as it will answer, over a few connections.
 *
 *   load PORT CONNECTIONS SECONDS "POST /path"      prints requests a second
 *
 * Answers are counted by their length, which is taken from the first one.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char piece[1 << 20];

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int connected(int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((unsigned short)port)};
    int one = 1, client = socket(AF_INET, SOCK_STREAM, 0);
    if (client < 0 || connect(client, (struct sockaddr *)&address, sizeof address))
        fail("connect");
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return client;
}

int main(int count, char **arguments)
{
    if (count != 5)
        fail("PORT CONNECTIONS SECONDS 'POST /path'");
    int connections = atoi(arguments[2]);
    char request[1024], body[180];
    memset(body, ' ', sizeof body);
    int length = snprintf(request, sizeof request,
                          "%s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                          "Content-Length: %zu\r\n\r\n%.*s",
                          arguments[4], sizeof body, (int)sizeof body, body);
    int poll = epoll_create1(0);
    ssize_t answer = 0;
    for (int i = 0; i < connections; i++) {
        int client = connected(atoi(arguments[1]));
        if (send(client, request, (size_t)length, 0) != length)
            fail("send");
        if (!answer) {
            usleep(100000); /* long enough for the whole first answer to be there */
            answer = recv(client, piece, sizeof piece, 0);
            if (send(client, request, (size_t)length, 0) != length)
                fail("send");
        }
        struct epoll_event event = {.events = EPOLLIN, .data.fd = client};
        epoll_ctl(poll, EPOLL_CTL_ADD, client, &event);
    }
    double begun = now(), end = begun + atof(arguments[3]);
    long answered = 0;
    struct epoll_event events[64];
    while (now() < end) {
        int ready = epoll_wait(poll, events, 64, 1000);
        for (int i = 0; i < ready; i++) {
            if (recv(events[i].data.fd, piece, sizeof piece, 0) != answer)
                fail("an answer of another length");
            answered++;
            if (send(events[i].data.fd, request, (size_t)length, 0) != length)
                fail("send");
        }
    }
    printf("%.0f\n", (double)answered / (now() - begun));
    return 0;
}
